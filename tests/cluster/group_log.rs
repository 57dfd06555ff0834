//! `__consumer_offsets` under compaction and `kill -9`: what was committed stays, and so does who reads what.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use tokio::task::JoinSet;
use weir_client::{
    Client, ClientConfig, CommittedOffset, ErrorCode, Offset, PartitionIndex, PartitionOffset, TopicId,
};
use weir_tests::process::{DEADLINE, Signal};

use super::group_support::{describe, member, memberships, shares, wait_for_group};
use super::{Place, text};

/// How many groups commit at once.
const GROUPS: usize = 8;
/// How many records the topic has, so that there are offsets to commit.
const RECORDS: u64 = 1_000;
/// What one commit takes in the log at least.
const COMMIT_BYTES: u64 = 100;

fn group(number: usize) -> String {
    format!("c{number}")
}

/// Moves a group without members, which is a commit, and waits until that is stored.
async fn commit(client: &Client, group: &str, topic: TopicId, offset: u64) {
    let committed = CommittedOffset {
        offset: Offset(offset),
        leader_epoch: None,
        metadata: format!("{group} has come as far as {offset}"),
    };
    let offsets = vec![PartitionOffset { topic, partition: PartitionIndex(0), committed }];
    let reset = client.reset_offsets(group, offsets, false).await.unwrap();
    assert!(reset.results.iter().all(Result::is_ok), "{reset:?}");
}

/// Deletes a group, however often that takes: nobody can tell whether a node that was killed did it.
async fn delete(client: &Client, group: &str) {
    loop {
        match client.delete_group(group).await {
            Ok(_) => return,
            Err(error) if error.code() == Some(ErrorCode::GroupIdNotFound) => return,
            Err(error) => assert!(error.is_retryable(), "{error}"),
        }
    }
}

/// Commits one offset after the other until it is enough; returns the number of the group, how many, and the last one.
async fn commit_all(
    client: Client,
    number: usize,
    topic: TopicId,
    enough: Arc<AtomicBool>,
) -> (usize, u64, u64) {
    let (mut count, mut last) = (0, 0);
    while !enough.load(Ordering::Relaxed) {
        last = count % RECORDS;
        commit(&client, &group(number), topic, last).await;
        count += 1;
        // Groups that are over leave nothing but their ends.
        if count % 50 == 0 {
            let passing = format!("gone-{number}-{count}");
            commit(&client, &passing, topic, 1).await;
            delete(&client, &passing).await;
        }
    }
    (number, count, last)
}

#[test]
fn no_offset_and_no_member_is_lost_when_the_log_of_groups_is_compacted_and_the_node_is_killed() {
    let mut place = Place::that_restarts();
    place.create("t", &["--partitions", "1"]);
    let lines: String = (0..RECORDS).map(|number| format!("{number}\n")).collect();
    place.weir.run_with_input(&["produce", "t"], lines.as_bytes()).ok();
    // Its records are the oldest of the log, and nothing supersedes them.
    let reader = member(&place.weir, "readers", &["--instance", "one"]);
    wait_for_group(&place.weir, "readers", "it reads", |group| shares(group) == [1]);
    let small = [
        "topics",
        "alter",
        "__consumer_offsets",
        "--config",
        "segment.bytes=4096",
        "--config",
        "min.cleanable.dirty.ratio=0",
        "--config",
        "delete.retention.ms=0",
    ];
    place.weir.run(&small).ok();
    let readers = memberships(&describe(&place.weir, "readers"));

    let enough = Arc::new(AtomicBool::new(false));
    let committing = std::thread::spawn({
        let config = ClientConfig::new([place.node.address().to_string()], place.node.certs());
        let enough = Arc::clone(&enough);
        move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let client = Client::connect(config).await.unwrap();
                let topic = client.topic("t").await.unwrap().id;
                let all: JoinSet<_> = (0..GROUPS)
                    .map(|number| commit_all(client.clone(), number, topic, Arc::clone(&enough)))
                    .collect();
                all.join_all().await
            })
        }
    });
    for _ in 0..3 {
        place.node.process().wait_for_stderr("the log was compacted");
        place.node.kill();
        place.node.start();
        wait_for_group(&place.weir, "readers", "it still reads", |group| memberships(group) == readers);
    }
    place.node.process().wait_for_stderr("the log was compacted");
    enough.store(true, Ordering::Relaxed);
    let committed = committing.join().unwrap();

    let check = |place: &Place| {
        for (number, _, last) in &committed {
            let group = describe(&place.weir, &group(*number));
            assert_eq!(group["partitions"][0]["committed_offset"], *last, "{group}");
        }
        assert_eq!(memberships(&describe(&place.weir, "readers")), readers);
        let listed = place.weir.run(&["groups", "list", "--output", "json"]).ok().json();
        assert_eq!(
            listed["groups"].as_array().unwrap().len(),
            GROUPS + 1,
            "deleted groups are gone: {listed}"
        );
    };
    check(&place);
    reader.signal(Signal::Kill);
    place.node.kill();
    place.node.start();
    check(&place);

    let count: u64 = committed.iter().map(|(_, count, _)| count).sum();
    let deadline = Instant::now() + DEADLINE;
    while bytes_of_the_log(&place) > count * COMMIT_BYTES / 2 {
        let left = bytes_of_the_log(&place);
        assert!(Instant::now() < deadline, "{left} bytes are left of {count} commits");
        check(&place);
    }
    place.node.stop().ok();
    place.weir.run(&["log", "verify", &text(place.node.data())]).ok();
}

/// What the batches of `__consumer_offsets` take on the disk.
fn bytes_of_the_log(place: &Place) -> u64 {
    let topics = std::fs::read_dir(place.node.data().join("topics")).unwrap();
    let folders = topics.map(|folder| folder.unwrap().path());
    let of_groups = folders.filter(|folder| text(folder).contains("__consumer_offsets-"));
    let files = of_groups.flat_map(|folder| std::fs::read_dir(folder).unwrap());
    let logs = files.map(|file| file.unwrap().path()).filter(|file| text(file).ends_with(".log"));
    // What is replaced meanwhile is gone.
    logs.map(|file| file.metadata().map_or(0, |metadata| metadata.len())).sum()
}
