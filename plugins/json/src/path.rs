//! Paths to fields.

use std::borrow::Cow;

use weir_plugin::{Error, Result};

use crate::text::unquote;

/// How many paths there may be: one bit each.
const PATHS_MAX: usize = 64;

/// Paths to fields: names between dots, as `user.email`. `*` stands for any member of an object and any element of
/// an array, so `cards.*.number` is the `number` of each of the `cards`. A backslash takes the meaning from the
/// character after it: `a\.b` is one name.
///
/// A field is found at any path that leads to it; a path may lead to many fields, or to none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paths {
    paths: Vec<Vec<Step>>,
    all: PathSet,
}

/// Which of the paths a place in a text lies on: a bit per path.
pub(crate) type PathSet = u64;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Named(Vec<u8>),
    Any,
}

impl Paths {
    /// Reads paths. `option` is the name of the option that they come from, for the error.
    ///
    /// # Errors
    /// If one of them is no path, or there are too many.
    pub fn parse<'a>(option: &str, paths: impl IntoIterator<Item = &'a str>) -> Result<Paths> {
        let mut read = Paths::default();
        read.add(option, paths)?;
        Ok(read)
    }

    /// Reads further paths and says how many there are now: paths are known by their index.
    ///
    /// # Errors
    /// As [`Paths::parse`].
    pub fn add<'a>(&mut self, option: &str, paths: impl IntoIterator<Item = &'a str>) -> Result<usize> {
        for path in paths {
            let steps = steps(path).map_err(|what| Error::new(format!("option {option}: {path}: {what}")))?;
            self.paths.push(steps);
        }
        let count = self.paths.len();
        if count > PATHS_MAX {
            return Err(Error::new(format!("option {option}: {count} paths, at most {PATHS_MAX}")));
        }
        self.all = PathSet::MAX.checked_shr(u32::try_from(PATHS_MAX - count)?).unwrap_or_default();
        Ok(count)
    }

    /// How many paths there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.paths.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    pub(crate) fn all(&self) -> PathSet {
        self.all
    }

    /// Which of `on` still lead on when the member `name`, as it stands between its quotes, is entered at `depth`.
    #[inline]
    pub(crate) fn at_member(&self, on: PathSet, depth: usize, name: &[u8]) -> PathSet {
        if on == 0 {
            return 0;
        }
        let name = if name.contains(&b'\\') { unquote(name) } else { Cow::Borrowed(name) };
        self.narrow(on, |path| match path.get(depth) {
            Some(Step::Named(named)) => *named == *name,
            Some(Step::Any) => true,
            None => false,
        })
    }

    /// The same for an element of an array.
    #[inline]
    pub(crate) fn at_element(&self, on: PathSet, depth: usize) -> PathSet {
        self.narrow(on, |path| matches!(path.get(depth), Some(Step::Any)))
    }

    /// Which of `on` end here.
    #[inline]
    pub(crate) fn ending(&self, on: PathSet, depth: usize) -> PathSet {
        self.narrow(on, |path| path.len() == depth)
    }

    #[inline]
    fn narrow(&self, on: PathSet, holds: impl Fn(&[Step]) -> bool) -> PathSet {
        let mut rest = on;
        let mut narrowed = 0;
        while rest != 0 {
            let bit = rest & rest.wrapping_neg();
            // At most 63: that a bit is set was asked for.
            if holds(&self.paths[bit.trailing_zeros() as usize]) {
                narrowed |= bit;
            }
            rest ^= bit;
        }
        narrowed
    }
}

fn steps(path: &str) -> std::result::Result<Vec<Step>, &'static str> {
    let mut steps = Vec::new();
    let mut name = String::new();
    let mut is_literal = false;
    let mut characters = path.chars();
    loop {
        match characters.next() {
            Some('\\') => {
                name.push(characters.next().ok_or("a backslash stands before another character")?);
                is_literal = true;
            }
            Some(character) if character != '.' => name.push(character),
            end => {
                let step = match (name.as_str(), is_literal) {
                    ("", false) => return Err("a name is missing"),
                    ("*", false) => Step::Any,
                    (name, _) => Step::Named(name.as_bytes().to_vec()),
                };
                steps.push(step);
                if end.is_none() {
                    return Ok(steps);
                }
                name.clear();
                is_literal = false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_names_between_dots() {
        let named = |name: &str| Step::Named(name.as_bytes().to_vec());
        assert_eq!(steps("a.b").unwrap(), [named("a"), named("b")]);
        assert_eq!(steps(r"cards.*.a\.b").unwrap(), [named("cards"), Step::Any, named("a.b")]);
        assert_eq!(steps(r"\*.\\").unwrap(), [named("*"), named("\\")]);
    }

    #[test]
    fn an_error_names_the_option_and_the_path() {
        let said = |paths: &[&str]| Paths::parse("mask", paths.iter().copied()).unwrap_err().to_string();
        assert_eq!(said(&["a", "b..c"]), "option mask: b..c: a name is missing");
        assert_eq!(said(&[r"a\"]), r"option mask: a\: a backslash stands before another character");
        assert_eq!(said(&["a"; 65]), "option mask: 65 paths, at most 64");
        assert_eq!(Paths::parse("mask", ["a"; 64]).unwrap().all(), u64::MAX);
        assert_eq!(Paths::parse("mask", []).unwrap().all(), 0);
    }
}
