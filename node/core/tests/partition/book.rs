//! Pictures in the documentation are what scripts draw: each stands behind a comment with its name, and differs from what
//! is drawn only where a test fails. `UPDATE_EXPECT=1` draws them anew.
#![expect(clippy::disallowed_methods, reason = "a page is a file")]

/// The page with the pictures.
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/delivery.md");

/// Requires that the page shows this picture.
pub(crate) fn shows(name: &str, picture: &str) {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let beginning = format!("<!-- picture: {name} -->\n```\n");
    let (before, rest) =
        page.split_once(&beginning).unwrap_or_else(|| panic!("{PAGE} has no picture {name}"));
    let (shown, after) = rest.split_once("```\n").expect("a picture ends");
    if shown == picture {
        return;
    }
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(PAGE, format!("{before}{beginning}{picture}```\n{after}")).unwrap();
        return;
    }
    panic!("{PAGE} shows for {name}\n{shown}\nand this is so:\n{picture}\nUPDATE_EXPECT=1 puts it there");
}
