//! Requests about plugins and the pipelines that they make.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::mpsc;
use weir_quic::{FrameReader, FrameWriter, Priority};
use weir_wire::frame::Limits;
use weir_wire::ids::NodeId;
use weir_wire::open::StreamKind;
use weir_wire::plugin::{PluginLines, PluginLinesOpen};
use weir_wire::request::{
    ActivatePipeline, DeletePlugin, DescribePipelines, ExplainTopic, ListPlugins, NodeEntry,
    PipelineActivated, PipelineRolledBack, PipelineStaged, PipelinesDescribed, PluginDeleted, PluginPushed,
    PluginsListed, PushPlugin, Request, RollBackPipeline, ShadowTopic, StagePipeline, TopicExplained,
    TopicShadowed, UploadComponent,
};

use crate::client::Client;
use crate::error::ClientError;
use crate::net::{Again, Connection, Opened};

/// How long a node may take to check and compile a component: a language runtime takes some 15 seconds on an idle core.
const PUSH_TIMEOUT: Duration = Duration::from_secs(150);
/// Lines of plugins that may wait to be read.
const LINES_QUEUED_MAX: usize = 256;

/// What a node that was asked among all of them said.
type Answered<R> = (NodeId, Result<<R as Request>::Response, ClientError>);

/// A component to push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPlugin {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Whether it is granted an empty WASI.
    pub wasi: bool,
    /// Whether one instance serves many batches.
    pub reuse: bool,
    /// The component, or a core module that says which world it implements.
    pub file: Vec<u8>,
}

/// The lines that plugins write on all nodes that could be reached.
pub struct FollowedLines {
    lines: mpsc::Receiver<(NodeId, PluginLines)>,
}

impl Client {
    /// Uploads a component to one node, which checks and compiles it, and makes it known to all. Pushing the same again
    /// changes nothing.
    ///
    /// # Errors
    /// What is wrong with the file, as the node says; or the connection was lost, and it can be pushed again.
    ///
    /// # Cancel safety
    /// When the future is dropped the plugin may be known or not, and pushing it again changes nothing. What was
    /// uploaded in part the node keeps until four other uploads have begun.
    pub async fn push_plugin(&self, plugin: NewPlugin) -> Result<PluginPushed, ClientError> {
        let net = &self.inner.net;
        let connection = net.any_connection().await?;
        let mut random = net.outside.random();
        let mut upload = [0; 16];
        upload.chunks_mut(8).for_each(|half| half.copy_from_slice(&random.next().to_le_bytes()));
        let total = plugin.file.len() as u64;
        let mut at = 0;
        for part in plugin.file.chunks(UploadComponent::BYTES_MAX) {
            let request = UploadComponent { upload, at, total, bytes: part.to_vec() };
            net.ask_at(&connection, &request).await?;
            at += part.len() as u64;
        }
        let NewPlugin { name, version, wasi, reuse, .. } = plugin;
        let request = PushPlugin { upload, name, version, wasi, reuse };
        net.ask_at_within(&connection, &request, PUSH_TIMEOUT).await.map(|(_, pushed)| pushed)
    }

    /// All plugins: those that were pushed, and those that ship with the node that answers.
    ///
    /// # Errors
    /// The cluster cannot be reached, or the node's answer.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing: an answer that still comes is thrown away.
    pub async fn list_plugins(&self) -> Result<PluginsListed, ClientError> {
        self.inner.net.ask(&ListPlugins, Again::Harmless).await
    }

    /// Forgets a version of a plugin that no open pipeline names.
    ///
    /// # Errors
    /// The node's answer. As with topics, it is not tried again when its fate is not known.
    ///
    /// # Cancel safety
    /// When the future is dropped it may be done or not, as after [`ClientError::ConnectionLost`]: look before asking
    /// again.
    pub async fn delete_plugin(&self, request: &DeletePlugin) -> Result<PluginDeleted, ClientError> {
        self.inner.net.ask(request, Again::OnlyIfNotDone).await
    }

    /// Has every node make a pipeline ready. Asking twice stages it under another revision.
    ///
    /// # Errors
    /// What is wrong with it, as the node says that tried it first.
    ///
    /// # Cancel safety
    /// When the future is dropped the pipeline may be staged or not; staging it again makes one more revision of it.
    pub async fn stage_pipeline(&self, request: &StagePipeline) -> Result<PipelineStaged, ClientError> {
        self.inner.net.ask(request, Again::Harmless).await
    }

    /// Puts a staged pipeline in force, once every node is ready.
    ///
    /// # Errors
    /// Which nodes are not ready, or what changed meanwhile.
    ///
    /// # Cancel safety
    /// When the future is dropped, what was asked for may be done or not; asking again does no more than asking once.
    pub async fn activate_pipeline(
        &self,
        request: &ActivatePipeline,
    ) -> Result<PipelineActivated, ClientError> {
        self.inner.net.ask(request, Again::Harmless).await
    }

    /// Puts the plugins in force again that were so before the last activation.
    ///
    /// # Errors
    /// The node's answer. It is not tried again when its fate is not known: that could go back one step further.
    ///
    /// # Cancel safety
    /// When the future is dropped it may be done or not, as after [`ClientError::ConnectionLost`]: look before asking
    /// again.
    pub async fn roll_back_pipeline(
        &self,
        request: &RollBackPipeline,
    ) -> Result<PipelineRolledBack, ClientError> {
        self.inner.net.ask(request, Again::OnlyIfNotDone).await
    }

    /// The pipelines of one topic, or of all that have plugins.
    ///
    /// # Errors
    /// The cluster cannot be reached, or the node's answer.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing: an answer that still comes is thrown away.
    pub async fn describe_pipelines(&self, topic: Option<&str>) -> Result<PipelinesDescribed, ClientError> {
        let request = DescribePipelines { topic: topic.map(str::to_owned) };
        self.inner.net.ask(&request, Again::Harmless).await
    }

    /// Starts, ends or reports the shadow run of a topic, on every node of the cluster: what each says.
    ///
    /// # Errors
    /// The cluster cannot be reached at all. A node that cannot be asked, or refuses, stands beside the others.
    ///
    /// # Cancel safety
    /// When the future is dropped, some nodes were asked and others were not; asking again asks all of them.
    pub async fn shadow_topic(
        &self,
        request: &ShadowTopic,
    ) -> Result<Vec<(NodeId, Result<TopicShadowed, ClientError>)>, ClientError> {
        self.ask_every_node(request).await
    }

    /// What every node says of the pipeline of a topic: each has its own figures and lanes.
    ///
    /// # Errors
    /// As [`shadow_topic`](Client::shadow_topic).
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing: an answer that still comes is thrown away.
    pub async fn describe_pipelines_everywhere(
        &self,
        topic: Option<&str>,
    ) -> Result<Vec<(NodeId, Result<PipelinesDescribed, ClientError>)>, ClientError> {
        self.ask_every_node(&DescribePipelines { topic: topic.map(str::to_owned) }).await
    }

    /// Asks every registered node at the same time, each from metadata at least as new as any answer that this client has
    /// seen.
    pub(crate) async fn ask_every_node<R: Request + Send + Sync>(
        &self,
        request: &R,
    ) -> Result<Vec<Answered<R>>, ClientError> {
        let nodes = self.metadata(Some(&[])).await?.nodes;
        let asked = nodes.into_iter().map(|node| self.ask_node(node, request));
        Ok(join_all(asked).await)
    }

    /// Boxed: the compiler looks through what is joined again and again, and takes minutes for it.
    fn ask_node<'a, R: Request + Send + Sync>(
        &'a self,
        node: NodeEntry,
        request: &'a R,
    ) -> Pin<Box<dyn Future<Output = Answered<R>> + Send + 'a>> {
        let net = &self.inner.net;
        Box::pin(async move {
            let answer = match net.connection(&node.address).await {
                Ok(connection) => net.ask_at(&connection, request).await,
                Err(error) => Err(error),
            };
            (node.id, answer)
        })
    }

    /// What would become of a record of a topic, with a key or without one. Stores nothing.
    ///
    /// # Errors
    /// The node's answer.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing: an answer that still comes is thrown away.
    pub async fn explain_topic(&self, request: &ExplainTopic) -> Result<TopicExplained, ClientError> {
        self.inner.net.ask(request, Again::Harmless).await
    }

    /// Follows the lines that plugins write from now on, on every node that can be reached now.
    ///
    /// # Errors
    /// No node serves them.
    ///
    /// # Cancel safety
    /// Dropping the future closes the streams that were opened.
    pub async fn follow_plugin_lines(
        &self,
        topic: Option<String>,
        plugin: Option<String>,
    ) -> Result<FollowedLines, ClientError> {
        let net = &self.inner.net;
        let open = PluginLinesOpen { cluster: net.cluster(), topic, plugin };
        let (sender, lines) = mpsc::channel(LINES_QUEUED_MAX);
        let mut failure = None;
        let mut is_served = false;
        for node in self.metadata(Some(&[])).await?.nodes {
            let opened = match net.connection(&node.address).await {
                Ok(connection) => {
                    let opening =
                        connection.open(StreamKind::PLUGIN_LINES, Priority::Control, Limits::CONTROL, &open);
                    (opening.await, connection)
                }
                Err(error) => {
                    failure = Some(error);
                    continue;
                }
            };
            match opened {
                (Opened::Stream(reader, writer), connection) => {
                    is_served = true;
                    tokio::spawn(pass_on(node.id, reader, writer, connection, sender.clone()));
                }
                (Opened::Refused(error), _) => failure = Some(error.into()),
                (Opened::Lost(reason), _) => {
                    failure = Some(ClientError::ConnectionLost { address: node.address, reason });
                }
            }
        }
        match failure {
            Some(error) if !is_served => Err(error),
            _ => Ok(FollowedLines { lines }),
        }
    }
}

impl FollowedLines {
    /// The next line, and the node that it was written on; `None` once every node's stream ended.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<(NodeId, PluginLines)> {
        self.lines.recv().await
    }
}

/// Passes the lines of one node on. The connection is held for as long, and so is the writer: its end would tell the node
/// that nobody reads.
async fn pass_on(
    node: NodeId,
    mut reader: FrameReader,
    _writer: FrameWriter,
    _connection: Arc<Connection>,
    lines: mpsc::Sender<(NodeId, PluginLines)>,
) {
    loop {
        let frame = tokio::select! {
            biased;
            // A plugin may not write another line for a long time.
            () = lines.closed() => return,
            frame = reader.next::<PluginLines>() => frame,
        };
        let Ok(Some(frame)) = frame else { return };
        if lines.send((node, frame.header)).await.is_err() {
            return;
        }
    }
}
