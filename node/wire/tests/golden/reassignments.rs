//! Messages about replicas that move, once in each of their shapes.

use expect_test::expect;
use weir_wire::error::{ErrorCode, WireError};
use weir_wire::ids::{NodeId, Offset, PartitionIndex};
use weir_wire::metadata::{ChangeVoters, VotersChanged};
use weir_wire::request::{
    AlterReassignments, ChangeNode, ListReassignments, NodeChange, NodeChanged, ReassignmentAltered,
    ReassignmentProgress, ReassignmentsAltered, ReassignmentsListed, ReplicaState, ReplicasShifting,
    ReplicasWanted, Request, Shift, ShiftReplicas, Throttle,
};

use crate::Golden;

#[test]
fn other_replicas() {
    let mut golden = Golden::default();
    let (q, index) = ("q".to_owned(), PartitionIndex(3));
    let wanted = |replicas| ReplicasWanted { topic: q.clone(), partition: index, replicas };
    let partitions = vec![wanted(Some(vec![NodeId(1), NodeId(300)])), wanted(None)];
    golden.body("alter_reassignments", &AlterReassignments { partitions, throttle: None });
    let altered = |outcome| ReassignmentAltered { topic: q.clone(), partition: index, outcome };
    let partitions =
        vec![altered(Ok(true)), altered(Err(WireError::new(ErrorCode::InvalidReplicaAssignment, "no")))];
    golden.body("alter_reassignments answer", &ReassignmentsAltered { partitions: partitions.clone() });
    golden.body("list_reassignments", &ListReassignments);
    let one = ReassignmentProgress {
        topic: q.clone(),
        partition: index,
        origin: vec![NodeId(1)],
        target: vec![NodeId(2)],
        isr: vec![NodeId(1)],
        leader: Some(NodeId(1)),
        log_start: Some(Offset(7)),
        replicas: vec![ReplicaState { node: NodeId(1), log_end: Some(Offset(300)) }],
    };
    golden.body("list_reassignments answer", &ReassignmentsListed { reassignments: vec![one] });
    for (name, shift, throttle) in [
        ("shift_replicas away", Shift::Away, None),
        ("shift_replicas allow", Shift::Allow, Some(Throttle::Off)),
        ("shift_replicas onto", Shift::Onto, Some(Throttle::BytesPerSecond(300))),
    ] {
        golden.body(name, &ShiftReplicas { node: NodeId(4), shift, throttle });
    }
    golden.body("shift_replicas answer", &ReplicasShifting { partitions, replicas: 9 });
    expect![[r#"
        alter_reassignments          02 01 71 03 01 02 01 ac 02 01 71 03 00 00
        alter_reassignments answer   02 01 71 03 00 01 01 71 03 01 3a 02 6e 6f
        list_reassignments          
        list_reassignments answer    01 01 71 03 01 01 01 02 01 01 01 01 01 07 01 01 01 ac 02
        shift_replicas away          04 00 00
        shift_replicas allow         04 01 01 00
        shift_replicas onto          04 02 01 01 ac 02
        shift_replicas answer        02 01 71 03 00 01 01 71 03 01 3a 02 6e 6f 09
    "#]]
    .assert_eq(&golden.0);
}

#[test]
fn who_takes_part() {
    let mut golden = Golden::default();
    let change = |change| ChangeNode { node: NodeId(300), change };
    golden.body("change_node remove", &change(NodeChange::Remove));
    golden.body("change_node replace any", &change(NodeChange::ReplaceVoter { with: None }));
    golden.body("change_node replace", &change(NodeChange::ReplaceVoter { with: Some(NodeId(4)) }));
    golden.body("change_node answer", &NodeChanged { voters: vec![NodeId(1), NodeId(300)] });
    golden.body("change-voters", &ChangeVoters { out: NodeId(3), with: Some(NodeId(4)), forget: true });
    golden.body("change-voters answer", &VotersChanged { voters: vec![NodeId(1), NodeId(300)] });
    expect![[r#"
        change_node remove           ac 02 00
        change_node replace any      ac 02 01 00
        change_node replace          ac 02 01 01 04
        change_node answer           02 01 ac 02
        change-voters                03 01 04 01
        change-voters answer         02 01 ac 02
    "#]]
    .assert_eq(&golden.0);
}

#[test]
fn the_numbers_of_these_requests_are_given_once_and_for_all() {
    let kinds = [
        (AlterReassignments::KIND.0, AlterReassignments::NAME),
        (ListReassignments::KIND.0, ListReassignments::NAME),
        (ShiftReplicas::KIND.0, ShiftReplicas::NAME),
        (ChangeNode::KIND.0, ChangeNode::NAME),
        (ChangeVoters::KIND.0, ChangeVoters::NAME),
    ];
    let expected = [
        (34, "alter_reassignments"),
        (35, "list_reassignments"),
        (36, "shift_replicas"),
        (37, "change_node"),
        (108, "change-voters"),
    ];
    assert_eq!(kinds, expected);
}
