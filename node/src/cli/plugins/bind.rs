//! `weir plugins bind` and `stage`: the pipeline of a topic, changed.

use clap::builder::PossibleValuesParser;
use weir_client::{
    ActivatePipeline, Client, ClientError, NodeId, PipelineChange, PluginBinding, PluginKind, Revision,
    StagePipeline,
};

use super::show;
use crate::cli::output::{Done, Exit, Failure, Output};
use crate::cli::topics::key_value;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The topic
    #[arg(required_unless_present = "all_topics")]
    topic: Option<String>,
    /// Every topic there is, and those that are created later
    #[arg(long, conflicts_with = "topic")]
    all_topics: bool,
    /// A plugin that records meet on their way into the log, as NAME or NAME@VERSION [default: the newest]; may be
    /// repeated: a chain in this order, in place of the one before
    #[arg(long = "interceptor", value_name = "NAME[@V]")]
    interceptors: Vec<String>,
    /// The plugin that places records
    #[arg(long, value_name = "NAME[@V]")]
    partitioner: Option<String>,
    /// A plugin that records meet on their way to consumers; may be repeated
    #[arg(long = "consumer-interceptor", value_name = "NAME[@V]")]
    consumer_interceptors: Vec<String>,
    /// Bind nothing any more in this place; may be repeated
    #[arg(long = "no", value_name = "PLACE", value_parser = PossibleValuesParser::new(["interceptor", "partitioner", "consumer-interceptor"]))]
    none: Vec<String>,
    /// An option of the plugin named last before it; may be repeated
    #[arg(long = "option", value_name = "KEY=VALUE", value_parser = key_value)]
    options: Vec<(String, String)>,
    /// A limit: memory.bytes, call.time.ms, answer.bytes, table.elements, calls, memory.share.bytes or
    /// time.share.percent; may be repeated
    #[arg(long = "limit", value_name = "NAME=VALUE", value_parser = key_value)]
    limits: Vec<(String, String)>,
    /// What happens to records that it fails on: reject, pass or dead-letter [default: reject]
    #[arg(long, value_name = "POLICY")]
    on_failure: Option<String>,
    /// Refuse if another revision is in force
    #[arg(long, value_name = "REVISION")]
    expected: Option<u32>,
    /// A node that need not be ready; it takes no records for the topic until it is; may be repeated
    #[arg(long, value_name = "NODE")]
    without: Vec<u32>,
    /// Only have it made ready; `weir plugins activate` puts it in force
    #[arg(long)]
    stage: bool,
}

pub(super) async fn run(args: Args, client: &Client, output: Output, only_stage: bool) -> Done {
    let change = change(&args)?;
    let is_only_staged = only_stage || args.stage;
    let Some(topic) = &args.topic else {
        return all_topics(&args, &change, client, output, is_only_staged).await;
    };
    let shown = bind(&args, topic, &change, client, output, is_only_staged).await?;
    output.result(&shown)?;
    Ok(Exit::Success)
}

async fn all_topics(
    args: &Args,
    change: &PipelineChange,
    client: &Client,
    output: Output,
    is_only_staged: bool,
) -> Done {
    let mut shown = Vec::new();
    let mut done = Vec::new();
    for topic in client.list_topics().await?.into_iter().filter(|topic| !topic.name.starts_with("__")) {
        let bound = bind(args, &topic.name, change, client, output, is_only_staged).await;
        shown.push(bound.map_err(|failure| stopped_at(&format!("topic '{}'", topic.name), failure, &done))?);
        done.push(topic.name);
    }
    if !is_only_staged {
        let request = StagePipeline { topic: None, expected: None, change: change.clone() };
        let staged = client.stage_pipeline(&request).await;
        let staged =
            staged.map_err(|error| stopped_at("topics that are created later", error.into(), &done))?;
        output.line(&format!("topics that are created later: {}", show::chain(&staged.plugins)))?;
    }
    output.result(&serde_json::json!({ "topics": shown }))?;
    Ok(Exit::Success)
}

/// What stopped a change of all topics, and how far that has come: topics that are bound stay so.
fn stopped_at(place: &str, failure: Failure, done: &[String]) -> Failure {
    let Failure::Said(why) = failure else { return failure };
    let done = if done.is_empty() { "none".to_owned() } else { done.join(", ") };
    Failure::new(format!("{place}: {why}; done before it: {done}; the others are as they were"))
}

/// Stages the change for one topic, and puts it in force unless that is left to later.
async fn bind(
    args: &Args,
    topic: &str,
    change: &PipelineChange,
    client: &Client,
    output: Output,
    is_only_staged: bool,
) -> Result<serde_json::Value, Failure> {
    let request = StagePipeline {
        topic: Some(topic.to_owned()),
        expected: args.expected.map(Revision),
        change: change.clone(),
    };
    let staged = client.stage_pipeline(&request).await?;
    let revision = staged.revision.unwrap_or_default();
    let plugins: Vec<_> = staged.plugins.iter().map(show::bound).collect();
    if is_only_staged {
        output.line(&format!(
            "staged revision {revision} of {topic}: {}; put it in force with: weir plugins activate {topic} --revision {revision}",
            show::chain(&staged.plugins)
        ))?;
        return Ok(serde_json::json!({ "topic": topic, "staged": revision.0, "plugins": plugins }));
    }
    let request = ActivatePipeline {
        topic: topic.to_owned(),
        revision: Some(revision),
        expected: staged.in_force,
        without: args.without.iter().copied().map(NodeId).collect(),
    };
    let activated = client.activate_pipeline(&request).await?;
    output.line(&format!(
        "revision {} of {topic} is in force: {}",
        activated.revision,
        show::chain(&staged.plugins)
    ))?;
    Ok(serde_json::json!({
        "topic": topic, "revision": activated.revision.0, "previous": activated.previous.0, "plugins": plugins,
    }))
}

fn change(args: &Args) -> Result<PipelineChange, Failure> {
    let named =
        args.interceptors.len() + usize::from(args.partitioner.is_some()) + args.consumer_interceptors.len();
    if named == 0 && args.none.is_empty() {
        return Err(Failure::new(
            "nothing to bind: pass --interceptor, --partitioner, --consumer-interceptor, or --no PLACE",
        ));
    }
    let has_settings = !args.options.is_empty() || !args.limits.is_empty() || args.on_failure.is_some();
    if named > 1 && has_settings {
        return Err(Failure::new(
            "with several plugins say of each what is its own: NAME:KEY=VALUE,KEY=VALUE in place of --option",
        ));
    }
    let bind = |text: &String| {
        let own = binding(text)?;
        let options = args.options.iter().cloned().chain(own.options).collect();
        let (limits, on_failure) = (args.limits.clone(), args.on_failure.clone());
        Ok::<_, Failure>(PluginBinding { options, limits, on_failure, ..own })
    };
    let place = |kind: PluginKind, plugins: Vec<PluginBinding>| {
        let word = match kind {
            PluginKind::ProducerInterceptor => "interceptor",
            PluginKind::ConsumerInterceptor => "consumer-interceptor",
            PluginKind::Partitioner | PluginKind::Assignor => "partitioner",
        };
        (!plugins.is_empty() || args.none.iter().any(|none| none == word)).then_some(plugins)
    };
    let all = |texts: &[String]| texts.iter().map(bind).collect::<Result<Vec<_>, _>>();
    Ok(PipelineChange {
        producer_interceptors: place(PluginKind::ProducerInterceptor, all(&args.interceptors)?),
        partitioner: place(PluginKind::Partitioner, all(args.partitioner.as_slice())?),
        consumer_interceptors: place(PluginKind::ConsumerInterceptor, all(&args.consumer_interceptors)?),
    })
}

/// `NAME[@VERSION][:KEY=VALUE,...]`.
pub(in crate::cli) fn binding(text: &str) -> Result<PluginBinding, Failure> {
    let (label, own) = text.split_once(':').unwrap_or((text, ""));
    let (plugin, version) = match label.split_once('@') {
        Some((plugin, version)) => (plugin, Some(version.to_owned())),
        None => (label, None),
    };
    let options = own.split(',').filter(|option| !option.is_empty()).map(key_value);
    Ok(PluginBinding {
        plugin: plugin.to_owned(),
        version,
        options: options.collect::<Result<_, _>>().map_err(Failure::new)?,
        limits: Vec::new(),
        on_failure: None,
    })
}

/// Changes the plugins of a topic, whatever they are now, and says which revision that is.
pub(in crate::cli) async fn stage_and_activate(
    client: &Client,
    topic: &str,
    change: &PipelineChange,
) -> Result<Revision, ClientError> {
    let stage = StagePipeline { topic: Some(topic.to_owned()), expected: None, change: change.clone() };
    let staged = client.stage_pipeline(&stage).await?;
    let activate = ActivatePipeline {
        topic: topic.to_owned(),
        revision: staged.revision,
        expected: staged.in_force,
        without: Vec::new(),
    };
    Ok(client.activate_pipeline(&activate).await?.revision)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn parse(line: &str) -> Result<PipelineChange, String> {
        let line = Line::try_parse_from(line.split_whitespace()).map_err(|error| error.to_string())?;
        change(&line.args).map_err(|failure| format!("{failure:?}"))
    }

    #[test]
    fn places_that_are_not_named_stay_as_they_are() {
        let change = parse("bind q --interceptor redact@1.0 --option paths=a,b").unwrap();
        let chain = change.producer_interceptors.unwrap();
        assert_eq!((chain[0].plugin.as_str(), chain[0].version.as_deref()), ("redact", Some("1.0")));
        assert_eq!(chain[0].options, [("paths".to_owned(), "a,b".to_owned())]);
        assert_eq!((change.partitioner, change.consumer_interceptors), (None, None));
        let change = parse("bind q --no partitioner").unwrap();
        assert_eq!((change.producer_interceptors, change.partitioner), (None, Some(Vec::new())));
    }

    #[test]
    fn several_plugins_have_their_own_options() {
        let change = parse("bind q --interceptor require-json:required=id --interceptor stamp").unwrap();
        let chain = change.producer_interceptors.unwrap();
        assert_eq!(chain[0].options, [("required".to_owned(), "id".to_owned())]);
        assert!(chain[1].options.is_empty());
        assert!(
            parse("bind q --interceptor a --interceptor b --option k=v").unwrap_err().contains("NAME:KEY")
        );
        assert!(parse("bind q").unwrap_err().contains("nothing to bind"));
        assert!(parse("bind --interceptor a").is_err());
    }
}
