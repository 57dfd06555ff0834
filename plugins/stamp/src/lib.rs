//! `stamp`: writes into the headers of each record where it came from.
//!
//! | header | value |
//! |---|---|
//! | `weir-principal` | who produced it, as access rules name them |
//! | `weir-entry-node` | the number of the node that took the batch, in decimal |
//! | `weir-revision` | the revision of the topic's pipeline, in decimal |
//!
//! They stand behind the producer's own headers. A producer can write headers of these names too, so a reader takes
//! the last one of a name, which is the node's. A batch that is sent again may get another entry node.
//!
//! | option | default | meaning |
//! |---|---|---|
//! | `headers` | `principal,entry-node,revision` | which of them to write |
//! | `prefix` | `weir-` | what stands before their names; may be empty |

use weir_plugin::{Context, Edits, Error, HeaderValue, ProducedBatch, ProducerInterceptor, Result, Want};

const ALL: [&str; 3] = ["principal", "entry-node", "revision"];

/// The interceptor.
pub struct Stamp {
    headers: Vec<(String, HeaderValue)>,
}

impl ProducerInterceptor for Stamp {
    fn configure(context: &Context) -> Result<Stamp> {
        let options = &context.options;
        options.allow(&["headers", "prefix"])?;
        let prefix = options.get("prefix").unwrap_or("weir-");
        let names = if options.get("headers").is_some() { options.list("headers") } else { ALL.to_vec() };
        if names.is_empty() {
            return Err(Error::new(format!("option headers is empty: it is some of {}", ALL.join(", "))));
        }
        let header = |name: &&str| {
            let value = match *name {
                "principal" => HeaderValue::Principal,
                "entry-node" => HeaderValue::EntryNode,
                "revision" => HeaderValue::Bytes(context.revision.to_string().into_bytes()),
                other => {
                    let all = ALL.join(", ");
                    return Err(Error::new(format!("option headers: {other}: it is some of {all}")));
                }
            };
            Ok((format!("{prefix}{name}"), value))
        };
        Ok(Stamp { headers: names.iter().map(header).collect::<Result<_>>()? })
    }

    fn wants(&self) -> &'static [Want] {
        &[Want::NoRecords]
    }

    fn on_send(&mut self, _: &ProducedBatch<'_>, edits: &mut Edits) -> Result<()> {
        for (name, value) in &self.headers {
            edits.append_header(name.as_str(), value.clone());
        }
        Ok(())
    }
}

weir_plugin::export!(Stamp as producer_interceptor);
