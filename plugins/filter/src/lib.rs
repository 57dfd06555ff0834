//! `filter`: keeps or drops records by a header, their key or a field of their JSON value.
//!
//! | option | default | meaning |
//! |---|---|---|
//! | `by` | must be given | what is looked at: `key`, `header:NAME` (the last one of that name) or `field:PATH` |
//! | `is` | | it is one of these texts between commas |
//! | `starts-with` | | it starts with this text |
//! | `at-least`, `at-most` | | it is a number, not below or not above this one |
//! | `then` | `keep` | what happens to records that match: `keep` or `drop`; the others get the opposite |
//!
//! All conditions that are given must hold; if none is, it is enough that the thing is there and not null. A field is
//! named by a path: names between dots (`user.country`), `*` for any member or element (of several values one must
//! match), a backslash before a character without meaning. A field's text is that of a string, or what stands there
//! for any other value. A value that is not JSON has no fields: `require-json` before this plugin rejects such records
//! instead.
//!
//! The producer is told how many of its records were dropped; that is no error.

use std::borrow::Cow;

use weir_plugin::{Context, Edits, Error, Options, ProducedBatch, ProducerInterceptor, Record, Result, Want};
use weir_plugin_json::{Paths, scan, unquote};

/// The interceptor.
pub struct Filter {
    subject: Subject,
    condition: Condition,
    keeps_matches: bool,
}

enum Subject {
    Key,
    Header(String),
    Field(Paths),
}

#[derive(Default)]
struct Condition {
    is: Option<Vec<String>>,
    starts_with: Option<String>,
    at_least: Option<f64>,
    at_most: Option<f64>,
}

impl ProducerInterceptor for Filter {
    fn configure(context: &Context) -> Result<Filter> {
        let options = &context.options;
        options.allow(&["by", "is", "starts-with", "at-least", "at-most", "then"])?;
        Ok(Filter {
            subject: Subject::of(options.required("by")?)?,
            condition: Condition::of(options)?,
            keeps_matches: options.choice("then", &["keep", "drop"])? == "keep",
        })
    }

    fn wants(&self) -> &'static [Want] {
        &[Want::InParts]
    }

    fn on_send(&mut self, batch: &ProducedBatch<'_>, edits: &mut Edits) -> Result<()> {
        for record in batch.records() {
            if self.matches(&record) != self.keeps_matches {
                edits.drop(record.index);
            }
        }
        Ok(())
    }
}

impl Filter {
    fn matches(&self, record: &Record<'_>) -> bool {
        let holds = |text: &[u8]| self.condition.holds(text);
        match &self.subject {
            Subject::Key => record.key.is_some_and(holds),
            Subject::Header(name) => record.headers.last(name).flatten().is_some_and(holds),
            Subject::Field(path) => record.value.is_some_and(|value| {
                let mut one_holds = false;
                let scanned = scan(value, path, |found| {
                    one_holds |= text_of(&value[found.value]).is_some_and(|text| holds(&text))
                });
                scanned.is_ok() && one_holds
            }),
        }
    }
}

/// A value of JSON as text; none for `null`.
fn text_of(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    match value {
        b"null" => None,
        [b'"', inside @ .., b'"'] => Some(unquote(inside)),
        other => Some(Cow::Borrowed(other)),
    }
}

impl Subject {
    fn of(text: &str) -> Result<Subject> {
        match text.split_once(':') {
            None if text == "key" => Ok(Subject::Key),
            Some(("header", name)) if !name.is_empty() => Ok(Subject::Header(name.to_owned())),
            Some(("field", path)) => Ok(Subject::Field(Paths::parse("by", [path])?)),
            _ => Err(Error::new(format!("option by={text}: it is one of key, header:NAME, field:PATH"))),
        }
    }
}

impl Condition {
    fn of(options: &Options) -> Result<Condition> {
        let number = |name: &str| match options.get(name) {
            None => Ok(None),
            Some(text) => match text.parse::<f64>() {
                Ok(number) if number.is_finite() => Ok(Some(number)),
                _ => Err(Error::new(format!("option {name}={text}: a number is expected"))),
            },
        };
        let texts = || options.list("is").into_iter().map(str::to_owned).collect();
        Ok(Condition {
            is: options.get("is").map(|_| texts()),
            starts_with: options.get("starts-with").map(str::to_owned),
            at_least: number("at-least")?,
            at_most: number("at-most")?,
        })
    }

    fn holds(&self, text: &[u8]) -> bool {
        let is = self.is.as_ref().is_none_or(|all| all.iter().any(|one| one.as_bytes() == text));
        let starts = self.starts_with.as_ref().is_none_or(|start| text.starts_with(start.as_bytes()));
        is && starts && self.is_in_range(text)
    }

    fn is_in_range(&self, text: &[u8]) -> bool {
        if self.at_least.is_none() && self.at_most.is_none() {
            return true;
        }
        let number = str::from_utf8(text).ok().and_then(|text| text.parse::<f64>().ok());
        number.is_some_and(|number| {
            self.at_least.is_none_or(|least| number >= least)
                && self.at_most.is_none_or(|most| number <= most)
        })
    }
}

weir_plugin::export!(Filter as producer_interceptor);
