//! The text that rules look at.
#![expect(clippy::disallowed_methods, reason = "the test reads the repository as plain files")]

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A tree of text files, by path from the repository's root.
pub(crate) struct Tree {
    pub(crate) files: Vec<File>,
    /// Every path there is, also of files that are not text.
    pub(crate) paths: Vec<String>,
}

/// One text file.
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) text: String,
    /// Rust only: the text with comments, strings and characters blanked out, line for line and byte for byte.
    pub(crate) code: String,
    /// Compiled for tests only: it lies in a folder of tests, or a `#[cfg(test)] mod` names it.
    is_test: bool,
}

/// Something that breaks a rule.
pub(crate) struct Finding {
    path: String,
    line: usize,
    message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

impl Tree {
    /// The files of the repository that git tracks or would track.
    pub(crate) fn of_repository() -> Tree {
        let root = root();
        let listed = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(&root)
            .output()
            .expect("the tidy test asks git which files there are: install git");
        assert!(listed.status.success(), "git cannot list {}: is it a clone?", root.display());
        let mut paths: Vec<String> = String::from_utf8(listed.stdout)
            .expect("paths are UTF-8")
            .split_terminator('\0')
            .map(str::to_owned)
            .filter(|path| root.join(path).is_file())
            .collect();
        paths.sort();
        paths.dedup();
        let files = paths
            .iter()
            .filter_map(|path| {
                Some(File::new(path, String::from_utf8(std::fs::read(root.join(path)).ok()?).ok()?))
            })
            .collect();
        Tree::new(files, paths)
    }

    /// A made-up tree.
    pub(crate) fn of(files: &[(&str, &str)]) -> Tree {
        Tree::new(
            files.iter().map(|(path, text)| File::new(path, (*text).to_owned())).collect(),
            files.iter().map(|(path, _)| (*path).to_owned()).collect(),
        )
    }

    fn new(mut files: Vec<File>, paths: Vec<String>) -> Tree {
        let test_modules: Vec<String> = files.iter().flat_map(File::test_modules).collect();
        for file in &mut files {
            let module = file.path.trim_end_matches(".rs");
            file.is_test |= test_modules.iter().any(|test| {
                module.strip_prefix(test).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            });
        }
        Tree { files, paths }
    }

    /// The Rust files.
    pub(crate) fn rust(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.path.ends_with(".rs"))
    }

    /// The file at `path`.
    pub(crate) fn get(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// Whether there is a file or folder at `path`.
    pub(crate) fn has(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        self.paths.iter().any(|there| there == path || there.starts_with(&format!("{path}/")))
    }
}

impl File {
    fn new(path: &str, text: String) -> File {
        let code = if path.ends_with(".rs") { blank(&text) } else { String::new() };
        let is_test = path.starts_with("tests/") || path.contains("/tests/") || path.ends_with("/tests.rs");
        File { path: path.to_owned(), text, code, is_test }
    }

    /// The paths, without `.rs`, of the modules that this file declares for tests only.
    fn test_modules(&self) -> Vec<String> {
        let (folder, name) = self.path.rsplit_once('/').unwrap_or(("", &self.path));
        let folder = match name {
            "mod.rs" | "lib.rs" | "main.rs" => folder.to_owned(),
            _ => self.path.trim_end_matches(".rs").to_owned(),
        };
        let declared = self.code.split("#[cfg(test)]").skip(1).filter_map(|behind| {
            let mut item = behind.trim_start();
            while item.starts_with("#[") {
                item = item.split_once(']')?.1.trim_start();
            }
            let name = item.strip_prefix("mod ")?.split_once(';')?.0;
            (!name.contains('{')).then(|| format!("{folder}/{}", name.trim()))
        });
        declared.collect()
    }

    /// A finding at a byte position of the text.
    pub(crate) fn finding(&self, at: usize, message: impl Into<String>) -> Finding {
        let line = self.text[..at].matches('\n').count() + 1;
        Finding { path: self.path.clone(), line, message: message.into() }
    }

    /// Where `word` stands in the code as a word of its own (not as a part of a longer name).
    pub(crate) fn words<'a>(&'a self, word: &'a str) -> impl Iterator<Item = usize> + 'a {
        let is_name = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        let (first, last) = (is_name(word.chars().next()), is_name(word.chars().last()));
        self.code.match_indices(word).map(|(at, _)| at).filter(move |&at| {
            let before = self.code[..at].chars().next_back();
            let after = self.code[at + word.len()..].chars().next();
            !(first && is_name(before) || last && is_name(after))
        })
    }

    /// The byte position from which on the file is tests: `#[cfg(test)] mod tests { ... }` at its end.
    pub(crate) fn tests_from(&self) -> usize {
        if self.is_test {
            return 0;
        }
        let inline = self.code.match_indices("#[cfg(test)]").find(|(at, attribute)| {
            let behind = self.code[at + attribute.len()..].trim_start();
            let head = behind.split(['{', ';']).next().unwrap_or_default();
            behind.starts_with("mod ") && behind[head.len()..].starts_with('{')
        });
        inline.map_or(self.code.len(), |(at, _)| at)
    }
}

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("the tests lie in a folder of the repository").to_path_buf()
}

/// Rust with comments, strings and characters blanked out; every byte that is not a line's end becomes a space.
fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text[at..];
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if let Some(length) = raw_string(rest, at.checked_sub(1).map(|before| bytes[before])) {
            length
        } else if rest.starts_with('"') {
            quoted(rest)
        } else if rest.starts_with('\'') {
            character(rest)
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
            continue;
        };
        for byte in &mut out[at..at + skipped] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at += skipped;
    }
    String::from_utf8(out).expect("whole characters were blanked out")
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

/// `r"..."`, `br#"..."#` and the like; `r#name` is none.
fn raw_string(rest: &str, before: Option<u8>) -> Option<usize> {
    if before.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return None;
    }
    let behind = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r'))?;
    let hashes = behind.bytes().take_while(|byte| *byte == b'#').count();
    let content = behind[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let opened = rest.len() - content.len();
    Some(content.find(&end).map_or(rest.len(), |found| opened + found + end.len()))
}

fn quoted(rest: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in rest.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// A character literal; of a lifetime, only its quote.
fn character(rest: &str) -> usize {
    let mut chars = rest.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some((escaped, _))) => {
            let from = escaped + 1;
            rest.get(from..).and_then(|tail| tail.find('\'')).map_or(1, |end| from + end + 1)
        }
        (Some((_, c)), Some((end, '\''))) if c != '\'' => end + 1,
        _ => 1,
    }
}

#[test]
fn comments_and_strings_are_blanked_out() {
    let text = "let a = \"x // \\\" y\"; // b\nlet c = r#\"\"q\"#; /* d /* e */ \n f */ let g: &'g str = '\\'' '\\u{1}' '\"';";
    let code = blank(text);
    assert_eq!(code.len(), text.len());
    let words: Vec<_> = code.split_whitespace().collect();
    assert_eq!(words.join(" "), "let a = ; let c = ; let g: & g str = ;");
}

#[test]
fn a_words_neighbours_count() {
    let tree = Tree::of(&[("a.rs", "rand::x(); operand::x(); rand_core; // rand\n")]);
    assert_eq!(tree.files[0].words("rand").collect::<Vec<_>>(), [0]);
}

#[test]
fn test_modules_are_told_apart() {
    let tree = Tree::of(&[
        ("node/src/a.rs", "#[cfg(test)]\n#[x]\nmod model;\nmod b;\n#[cfg(test)]\nmod tests { }\n"),
        ("node/src/a/model.rs", "fn x() {}"),
        ("node/src/a/model/more.rs", "fn x() {}"),
        ("node/src/a/b.rs", "fn x() {}"),
    ]);
    let from: Vec<_> = tree.files.iter().map(File::tests_from).collect();
    assert_eq!(from, [36, 0, 0, 9]);
}

#[test]
fn the_repository_is_found() {
    let tree = Tree::of_repository();
    assert!(tree.get("Cargo.toml").is_some_and(|file| file.text.contains("[workspace]")));
    assert!(tree.has("node/wire/src") && tree.has("node/wire/src/lib.rs") && !tree.has("node/wire/sr"));
}
