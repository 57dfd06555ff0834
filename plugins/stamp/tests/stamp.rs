//! What is written, and the options.

use weir_plugin::testing::golden;
use weir_plugin_stamp::Stamp;

#[test]
fn golden() {
    let answers = golden::producer::<Stamp>(include_str!("../golden/records.ndjson"));
    expect_test::expect_file!["../golden/records.out"].assert_eq(&answers);
}
