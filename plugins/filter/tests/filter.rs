//! What is kept.

use weir_plugin::testing::golden;
use weir_plugin_filter::Filter;

#[test]
fn golden() {
    let answers = golden::producer::<Filter>(include_str!("../golden/records.ndjson"));
    expect_test::expect_file!["../golden/records.out"].assert_eq(&answers);
}
