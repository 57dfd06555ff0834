//! Connections, metadata and requests about topics.

use std::pin::pin;
use std::time::Duration;

use weir_client::{
    Client, ClientConfig, ClientError, Credentials, ErrorClass, ErrorCode, NewTopic, OffsetSpec,
    PartitionIndex,
};
use weir_quic::{Authority, Network, Principal, RealNetwork};

use crate::fake::{Fake, begin};

fn impatient(config: ClientConfig) -> ClientConfig {
    ClientConfig {
        api_timeout: Duration::from_millis(600),
        connect_timeout: Duration::from_millis(200),
        ..config
    }
}

#[tokio::test]
async fn what_was_created_is_seen_at_once_until_it_is_deleted() {
    let fake = Fake::start();
    let client = Client::connect(fake.config()).await.unwrap();
    assert_eq!(client.create_topic(NewTopic::new("a").partitions(3)).await.unwrap().partitions, 3);
    assert_eq!(client.topic("a").await.unwrap().partitions.len(), 3);
    let again = client.create_topic(NewTopic::new("a")).await.unwrap_err();
    assert_eq!(again.code(), Some(ErrorCode::TopicAlreadyExists));
    let names: Vec<_> = client.list_topics().await.unwrap().into_iter().map(|topic| topic.name).collect();
    assert_eq!(names, ["a"]);
    client.delete_topic("a").await.unwrap();
    let gone = client.topic("a").await.unwrap_err();
    assert!(matches!(gone, ClientError::UnknownTopic { .. }));
    assert_eq!(gone.class(), ErrorClass::CallersFault);
    client.close().await;
}

#[tokio::test]
async fn offsets_come_in_the_order_asked_and_a_missing_partition_is_named() {
    let fake = Fake::start();
    fake.world.create("a", 2);
    fake.world.change(|state| state.topics.get_mut("a").unwrap().partitions[1].start.0 = 7);
    let client = Client::connect(fake.config()).await.unwrap();
    let asked = [(PartitionIndex(1), OffsetSpec::Latest), (PartitionIndex(0), OffsetSpec::Earliest)];
    let listed = client.list_offsets("a", &asked).await.unwrap();
    assert_eq!(listed.iter().map(|listed| listed.offset.0).collect::<Vec<_>>(), [7, 0]);
    let error = client.list_offsets("a", &[(PartitionIndex(2), OffsetSpec::Latest)]).await.unwrap_err();
    assert_eq!(error.to_string(), "topic 'a' has no partition 2; it has 2, numbered from 0");
}

#[tokio::test]
async fn nobody_at_the_address_is_said_with_what_to_do() {
    let mut fake = Fake::start();
    let config = impatient(fake.config());
    fake.stop().await;
    let error = Client::connect(config).await.unwrap_err();
    assert!(error.is_retryable());
    // The connection's own limit and the request's end at about the same time, and each has its sentence.
    let sentence = error.to_string();
    assert!(
        sentence.contains(&fake.address.to_string())
            && sentence.to_lowercase().contains("is a node running there"),
        "{sentence}"
    );
}

#[tokio::test]
async fn one_bootstrap_address_that_answers_is_enough() {
    let mut gone = Fake::start();
    let fake = Fake::start();
    gone.stop().await;
    let mut config = impatient(fake.config());
    config.bootstrap.insert(0, gone.address.to_string());
    config.api_timeout = Duration::from_secs(5);
    Client::connect(config).await.unwrap();
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused_at_once_and_by_name() {
    let fake = Fake::start();
    let now = RealNetwork.unix_time();
    let foreign = Authority::generate(now).unwrap().issue(&Principal::client("eve").unwrap(), now).unwrap();
    let config = ClientConfig { credentials: Credentials::Identity(foreign), ..fake.config() };
    let error = Client::connect(config).await.unwrap_err();
    assert!(!error.is_retryable());
    assert!(error.to_string().contains("certs"), "{error}");
}

#[tokio::test]
async fn a_folder_without_certificates_is_named() {
    let error = Client::connect(ClientConfig::new(["127.0.0.1:1"], "/nowhere/at/all")).await.unwrap_err();
    assert!(matches!(error, ClientError::Certificates(_)));
    assert!(error.to_string().contains("/nowhere/at/all"), "{error}");
}

#[tokio::test]
async fn a_client_outlives_its_node() {
    let mut fake = Fake::start();
    fake.world.create("a", 1);
    let client = Client::connect(fake.config()).await.unwrap();
    let metrics = client.metrics();
    assert_eq!((metrics.connections, metrics.connections_made, metrics.connections_failed), (1, 1, 0));
    fake.stop().await;
    fake.come_back().await;
    assert_eq!(client.topic("a").await.unwrap().partitions.len(), 1);
    let metrics = client.metrics();
    assert_eq!((metrics.connections, metrics.connections_made), (1, 2), "one for one that was lost");
}

#[tokio::test]
async fn a_connecting_that_is_given_up_closes_its_connection() {
    let fake = Fake::start();
    fake.world.change(|state| state.silent = true);
    {
        let mut connecting = pin!(Client::connect(fake.config()));
        tokio::select! {
            biased;
            connected = connecting.as_mut() => panic!("nobody has answered: {connected:?}"),
            () = fake.world.until(|state| state.peers == 1) => {}
        }
    }
    let closed = fake.world.until(|state| state.peers == 0);
    tokio::time::timeout(Duration::from_secs(5), closed).await.expect("it is closed, not left to time out");
}

#[tokio::test]
async fn a_request_that_is_given_up_may_be_carried_out_and_hurts_no_other() {
    let fake = Fake::start();
    let client = Client::connect(fake.config()).await.unwrap();
    {
        let mut creating = pin!(client.create_topic(NewTopic::new("a")));
        assert!(begin(creating.as_mut()).await.is_none(), "an answer takes longer");
    }
    fake.world.until(|state| state.topics.contains_key("a")).await;
    // Its answer is not taken for that of another request.
    assert_eq!(client.topic("a").await.unwrap().name, "a");
    let again = client.create_topic(NewTopic::new("a")).await.unwrap_err();
    assert_eq!(again.code(), Some(ErrorCode::TopicAlreadyExists));
    assert_eq!(client.metrics().connections_made, 1);
}
