//! Messages about what nodes go by, once in each of their shapes.

use expect_test::expect;
use weir_wire::ids::NodeId;
use weir_wire::request::{
    AlterNodeConfigs, ConfigSource, DescribeNodeConfigs, NodeConfigEntry, NodeConfigsAltered,
    NodeConfigsDescribed, Request,
};

use crate::Golden;

#[test]
fn what_nodes_go_by() {
    let mut golden = Golden::default();
    golden.body("describe_node_configs", &DescribeNodeConfigs);
    let sources =
        [ConfigSource::ThisNode, ConfigSource::AllNodes, ConfigSource::Start, ConfigSource::Default];
    let entry = |source| NodeConfigEntry { key: "k".to_owned(), value: "v".to_owned(), source };
    let described = NodeConfigsDescribed { node: NodeId(300), configs: sources.map(entry).into() };
    golden.body("described node configs", &described);
    let configs = vec![("k".to_owned(), Some("v".to_owned())), ("l".to_owned(), None)];
    golden.body("alter_node_configs", &AlterNodeConfigs { node: Some(NodeId(300)), configs });
    golden.body("alter_node_configs all", &AlterNodeConfigs { node: None, configs: Vec::new() });
    let set = vec![("k".to_owned(), "v".to_owned())];
    golden.body("alter_node_configs answer", &NodeConfigsAltered { set });
    expect![[r#"
        describe_node_configs       
        described node configs       ac 02 04 01 6b 01 76 00 01 6b 01 76 01 01 6b 01 76 02 01 6b 01 76 03
        alter_node_configs           01 ac 02 02 01 6b 01 01 76 01 6c 00
        alter_node_configs all       00 00
        alter_node_configs answer    01 01 6b 01 76
    "#]]
    .assert_eq(&golden.0);
    let kinds = [
        (DescribeNodeConfigs::KIND.0, DescribeNodeConfigs::NAME),
        (AlterNodeConfigs::KIND.0, AlterNodeConfigs::NAME),
    ];
    assert_eq!(kinds, [(38, "describe_node_configs"), (39, "alter_node_configs")]);
}
