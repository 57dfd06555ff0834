//! Who reads what.

/// A topic that at least one member of a group subscribes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// How many partitions it has.
    pub partitions: u32,
    /// For each partition, the racks of the nodes that hold it; empty if nodes have no racks.
    pub racks: Vec<Vec<String>>,
}

/// A member of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// Its own name, which changes when it starts again.
    pub member_id: String,
    /// The lasting name of a static member (Kafka's `group.instance.id`).
    pub instance_id: Option<String>,
    /// Where it runs.
    pub rack: Option<String>,
    /// The topics that it subscribes to: indexes into the topics, rising.
    pub topics: Vec<u32>,
    /// What it owns now.
    pub owned: Vec<TopicPartitions>,
}

/// Partitions of one topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicPartitions {
    /// The topic: an index into the topics.
    pub topic: u32,
    /// The partitions, rising.
    pub partitions: Vec<u32>,
}

impl Member {
    /// What members are sorted by in Kafka's assignors: static ones first, by their lasting name, which does not
    /// change when one of them starts again; then the others by their own.
    #[must_use]
    pub fn order(&self) -> (bool, &str) {
        self.instance_id.as_deref().map_or((true, self.member_id.as_str()), |instance| (false, instance))
    }

    /// Whether it subscribes to a topic.
    #[must_use]
    pub fn subscribes(&self, topic: u32) -> bool {
        self.topics.binary_search(&topic).is_ok()
    }
}

/// An assignment in the making.
///
/// ```
/// use weir_plugin::Assignment;
///
/// let mut assignment = Assignment::of(2);
/// assignment.give(1, 0, 7);
/// assignment.give(1, 0, 3);
/// assert_eq!(assignment.of_member(1)[0].partitions, [3, 7]);
/// assert!(assignment.of_member(0).is_empty());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assignment(Vec<Vec<TopicPartitions>>);

impl Assignment {
    /// Nothing for each of so many members.
    #[must_use]
    pub fn of(members: usize) -> Assignment {
        Assignment(vec![Vec::new(); members])
    }

    /// Gives a partition of a topic to a member.
    ///
    /// # Panics
    /// If there is no such member.
    pub fn give(&mut self, member: usize, topic: u32, partition: u32) {
        let owned = &mut self.0[member];
        let at = owned.binary_search_by_key(&topic, |of| of.topic).unwrap_or_else(|at| {
            owned.insert(at, TopicPartitions { topic, partitions: Vec::new() });
            at
        });
        let partitions = &mut owned[at].partitions;
        let at = partitions.partition_point(|given| *given < partition);
        partitions.insert(at, partition);
    }

    /// What a member got, by topic.
    ///
    /// # Panics
    /// If there is no such member.
    #[must_use]
    pub fn of_member(&self, member: usize) -> &[TopicPartitions] {
        &self.0[member]
    }

    /// What each member got, in the order of the members.
    #[must_use]
    pub fn into_members(self) -> Vec<Vec<TopicPartitions>> {
        self.0
    }
}
