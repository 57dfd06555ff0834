//! What is let in, and what producers of the rest are told.

use weir_plugin::testing::golden;
use weir_plugin_require_json::RequireJson;

#[test]
fn golden() {
    let answers = golden::producer::<RequireJson>(include_str!("../golden/records.ndjson"));
    expect_test::expect_file!["../golden/records.out"].assert_eq(&answers);
}
