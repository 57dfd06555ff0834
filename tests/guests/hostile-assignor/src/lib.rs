//! An assignor that does what its option `mode` says; without one, as in a group, what the name of its first topic says.
#![cfg(target_family = "wasm")]

#[allow(missing_docs, unsafe_code, unreachable_pub, clippy::all, clippy::pedantic, reason = "generated")]
mod bindings {
    wit_bindgen::generate!({ path: "../../../sdk-wasm/wit", world: "weir:plugin/assignor" });
}

use std::cell::RefCell;

use bindings::exports::weir::plugin::assignor_hooks::{Guest, Member, Options, Topic, TopicPartitions};

thread_local! {
    static MODE: RefCell<String> = const { RefCell::new(String::new()) };
}

struct Hostile;

impl Guest for Hostile {
    fn configure(options: Options) -> Result<Vec<String>, String> {
        let mode = options.into_iter().find(|(name, _)| name == "mode");
        MODE.set(mode.map_or_else(String::new, |(_, mode)| mode));
        Ok(Vec::new())
    }

    fn assign(members: Vec<Member>, topics: Vec<Topic>) -> Result<Vec<Vec<TopicPartitions>>, String> {
        let told = MODE.with_borrow(String::clone);
        let named = topics.first().map(|topic| topic.name.clone()).unwrap_or_default();
        let mode = if told.is_empty() { named } else { told };
        // Right: each topic as a whole to the first who subscribes.
        let mut answer: Vec<Vec<TopicPartitions>> = members.iter().map(|_| Vec::new()).collect();
        for (topic, of) in (0..).zip(&topics) {
            let first = members.iter().position(|member| member.topics.contains(&topic));
            let Some(first) = first else { continue };
            answer[first].push(TopicPartitions { topic, partitions: (0..of.partitions).collect() });
        }
        match mode.as_str() {
            "traps" => core::arch::wasm32::unreachable(),
            "loops" => loop {
                std::hint::black_box(());
            },
            "errs" => return Err("this group is beyond me".to_owned()),
            "assigns-twice" => {
                let again = answer.iter().flatten().next().map(again);
                answer.last_mut().into_iter().for_each(|last| last.extend(again.clone()));
            }
            "assigns-nothing" => answer.iter_mut().for_each(Vec::clear),
            "forgets-one" => {
                let some = answer.iter_mut().flatten().find(|of| !of.partitions.is_empty());
                if let Some(of) = some {
                    of.partitions.pop();
                }
            }
            // To whoever does not subscribe to it.
            "assigns-to-a-stranger" => {
                for member in 0..members.len() {
                    let strange = |topic: &u32| !members[member].topics.contains(topic);
                    let Some(topic) = (0..).take(topics.len()).find(|topic| strange(topic)) else { continue };
                    answer.iter_mut().for_each(|of| of.retain(|of| of.topic != topic));
                    let partitions = (0..topics[topic as usize].partitions).collect();
                    answer[member].push(TopicPartitions { topic, partitions });
                    break;
                }
            }
            "invents-a-partition" => {
                let some = answer.iter_mut().flatten().next();
                some.into_iter().for_each(|of| of.partitions.push(u32::MAX));
            }
            "invents-a-topic" => {
                answer[0].push(TopicPartitions { topic: u32::MAX, partitions: vec![0] });
            }
            "invents-a-member" => answer.push(Vec::new()),
            "forgets-a-member" => drop(answer.pop()),
            _ => {}
        }
        Ok(answer)
    }

    fn close() {}
}

fn again(of: &TopicPartitions) -> TopicPartitions {
    TopicPartitions { topic: of.topic, partitions: of.partitions.clone() }
}

#[allow(unsafe_code, reason = "generated")]
const _: () = {
    bindings::export!(Hostile with_types_in bindings);
};
