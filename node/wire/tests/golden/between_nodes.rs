//! Every message between nodes about the metadata, once in each of its shapes.

use expect_test::expect;
use weir_wire::ids::{ClusterId, Incarnation, MetadataIndex, NodeId};
use weir_wire::metadata::{
    AppendEntries, Appended, AskVote, DescribeQuorum, Entry, EntryBody, Heartbeat, HeartbeatTaken,
    InstallSnapshot, Join, Joined, LogPosition, Member, Membership, PeerAnswer, PeerRequest, Propose,
    Proposed, QuorumDescription, Refusal, SnapshotInstalled, Vote, VoteAnswered, VoterProgress,
};
use weir_wire::request::Request;

use crate::Golden;

const CLUSTER: ClusterId = ClusterId([0xcc; 16]);

#[test]
fn between_nodes() {
    let mut golden = Golden::default();
    for (name, kind) in [
        ("ask append-entries", AppendEntries::KIND),
        ("ask vote", AskVote::KIND),
        ("ask install-snapshot", InstallSnapshot::KIND),
        ("ask propose", Propose::KIND),
        ("ask heartbeat", Heartbeat::KIND),
        ("ask describe-quorum", DescribeQuorum::KIND),
    ] {
        golden.header(name, &PeerRequest { kind, cluster: Some(CLUSTER) });
    }
    golden.header("ask join", &PeerRequest { kind: Join::KIND, cluster: None });
    let member = |node| Member { node: NodeId(node), address: "h:1".to_owned() };
    for (name, refusal) in [
        ("answered", None),
        ("wrong cluster", Some(Refusal::WrongCluster { found: CLUSTER })),
        ("not controller", Some(Refusal::NotController { leader: Some(member(2)) })),
        ("not formed", Some(Refusal::NotFormed)),
        ("duplicate", Some(Refusal::DuplicateNode { node: NodeId(2), address: "h:1".to_owned() })),
        ("invalid", Some(Refusal::Invalid("no".to_owned()))),
        ("identity", Some(Refusal::OtherIdentity { certificate: NodeId(1), claimed: NodeId(2) })),
        ("unavailable", Some(Refusal::Unavailable("no".to_owned()))),
    ] {
        golden.header(name, &PeerAnswer { refusal });
    }
    let at = |index| LogPosition { term: 300, leader: NodeId(2), index };
    let vote = Vote { term: 300, node: NodeId(2), committed: true };
    let membership = || Membership {
        voters: vec![vec![NodeId(1)], vec![NodeId(1), NodeId(2)]],
        members: vec![member(1), member(2)],
    };
    let entries = vec![
        Entry { position: at(5), body: EntryBody::Blank },
        Entry { position: at(6), body: EntryBody::Commands(vec![0xc0, 0xc1]) },
        Entry { position: at(7), body: EntryBody::Membership(membership()) },
    ];
    golden.body("append-entries", &AppendEntries { vote, previous: Some(at(4)), entries, committed: None });
    golden.body("appended all", &Appended::All);
    golden.body("appended up to", &Appended::UpTo(Some(at(5))));
    golden.body("appended conflict", &Appended::Conflict);
    golden.body("appended superseded", &Appended::Superseded(vote));
    golden.body("ask-vote", &AskVote { vote, last: Some(at(7)) });
    golden.body("vote-answered", &VoteAnswered { vote, granted: true, last: None });
    let image = vec![0x1a];
    let snapshot = InstallSnapshot {
        vote,
        last: Some(at(7)),
        membership_at: Some(at(7)),
        membership: membership(),
        image,
    };
    golden.body("install-snapshot", &snapshot);
    golden.body("snapshot-installed", &SnapshotInstalled { vote });
    golden.body("propose", &Propose { command: vec![0xc0] });
    golden.body("proposed", &Proposed { index: MetadataIndex(300), outcome: vec![0x0a] });
    golden.body("join", &Join { member: member(2), is_empty: true });
    golden.body("joined", &Joined { cluster: CLUSTER, members: vec![member(1)] });
    golden.body("heartbeat", &Heartbeat { node: NodeId(2), incarnation: Incarnation(300) });
    golden.body("heartbeat-taken", &HeartbeatTaken { is_current: true });
    golden.body("describe-quorum", &DescribeQuorum {});
    let progress = VoterProgress { node: NodeId(1), is_voter: true, matched_index: Some(300) };
    let description = QuorumDescription {
        leader: NodeId(1),
        term: 3,
        last_index: Some(300),
        committed_index: None,
        quorum_acknowledged_ms: Some(5),
        members: vec![progress],
    };
    golden.body("quorum-described", &description);
    expect![[r#"
        ask append-entries           65 01 cc cc cc cc cc cc cc cc cc cc cc cc cc cc cc cc
        ask vote                     66 01 cc cc cc cc cc cc cc cc cc cc cc cc cc cc cc cc
        ask install-snapshot         67 01 cc cc cc cc cc cc cc cc cc cc cc cc cc cc cc cc
        ask propose                  68 01 cc cc cc cc cc cc cc cc cc cc cc cc cc cc cc cc
        ask heartbeat                6a 01 cc cc cc cc cc cc cc cc cc cc cc cc cc cc cc cc
        ask describe-quorum          6b 01 cc cc cc cc cc cc cc cc cc cc cc cc cc cc cc cc
        ask join                     69 00
        answered                     00
        wrong cluster                01 00 cc cc cc cc cc cc cc cc cc cc cc cc cc cc cc cc
        not controller               01 01 01 02 03 68 3a 31
        not formed                   01 02
        duplicate                    01 03 02 03 68 3a 31
        invalid                      01 04 02 6e 6f
        identity                     01 05 01 02
        unavailable                  01 06 02 6e 6f
        append-entries               ac 02 02 01 01 ac 02 02 04 03 ac 02 02 05 00 ac 02 02 06 01 02 c0 c1 ac 02 02 07 02 02 01 01 02 01 02 02 01 03 68 3a 31 02 03 68 3a 31 00
        appended all                 00
        appended up to               01 01 ac 02 02 05
        appended conflict            02
        appended superseded          03 ac 02 02 01
        ask-vote                     ac 02 02 01 01 ac 02 02 07
        vote-answered                ac 02 02 01 01 00
        install-snapshot             ac 02 02 01 01 ac 02 02 07 01 ac 02 02 07 02 01 01 02 01 02 02 01 03 68 3a 31 02 03 68 3a 31 01 1a
        snapshot-installed           ac 02 02 01
        propose                      01 c0
        proposed                     ac 02 01 0a
        join                         02 03 68 3a 31 01
        joined                       cc cc cc cc cc cc cc cc cc cc cc cc cc cc cc cc 01 01 03 68 3a 31
        heartbeat                    02 ac 02
        heartbeat-taken              01
        describe-quorum             
        quorum-described             01 03 01 ac 02 00 01 05 01 01 01 01 ac 02
    "#]].assert_eq(&golden.0);
}
