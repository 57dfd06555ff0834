//! Having a pipeline made ready: tried on this node first, so that a mistake is answered at once and changes nothing.

use std::collections::BTreeMap;

use weir_core::metadata::catalogue::{Catalogue, resolve};
use weir_core::metadata::{Applied, Binding, Command, MetadataError, PipelineSpec};
use weir_core::pipeline::failing::OnFailure;
use weir_wire::error::{ErrorCode, WireError};
use weir_wire::ids::Revision;
use weir_wire::plugin::PluginKind;
use weir_wire::request::{PipelineChange, PipelineStaged, PluginBinding, StagePipeline};

use super::{bound, catalogue, invalid};
use crate::handlers::authorize::{Operation, Resource, authorize};
use crate::handlers::control::{Answer, Context, submit_error};
use crate::handlers::metadata::find;
use crate::plugins::Limits;

pub(in crate::handlers) async fn handle(context: Context, request: StagePipeline) -> Answer<PipelineStaged> {
    let resource = request.topic.as_deref().map_or(Resource::Cluster, Resource::Topic);
    authorize(&context.principal, Operation::Alter, resource)?;
    let (services, image) = (&context.services, &context.image);
    let topic =
        request.topic.as_deref().map(|name| find(image, name).map(|topic| (name, topic))).transpose()?;
    let current = topic.map_or(&image.new_topic_pipeline, |(_, topic)| &topic.current_pipeline().spec);
    let catalogue = catalogue(services, image);
    let mut spec = changed(&catalogue, current, &request.change)?;
    spec.partitions = topic.map_or(1, |(_, topic)| u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX));
    let name = topic.map_or("new topics", |(name, _)| name);
    let next = topic.map_or(Revision(1), |(_, topic)| Revision(topic.newest_revision.0 + 1));
    services.pipelines.trial(name, next, &spec).await?;
    // What ships is known to the metadata from its first use on: a later program may ship other bytes.
    for (_, binding) in spec.bindings() {
        if image.plugin(&binding.plugin, &binding.version).is_none() {
            let plugin = catalogue[&binding.plugin][&binding.version].clone();
            let (name, version) = (binding.plugin.clone(), binding.version.clone());
            let command = Command::PushPlugin { name, version, plugin };
            services.controller.submit(command).await.map_err(submit_error)?;
        }
    }
    let plugins = bound(&spec);
    let Some((_, topic)) = topic else {
        let command = Command::SetNewTopicPipeline { spec };
        let (index, _) = services.controller.submit(command).await.map_err(submit_error)?;
        return Ok((index, PipelineStaged { revision: None, in_force: None, plugins }));
    };
    let in_force = topic.revision;
    let expected = request.expected.unwrap_or(in_force);
    let command = Command::StagePipeline { topic: topic.id, expected, spec };
    let (index, applied) = services.controller.submit(command).await.map_err(submit_error)?;
    let Applied::PipelineStaged(revision) = applied else {
        unreachable!("staging leads to a staged pipeline");
    };
    Ok((index, PipelineStaged { revision: Some(revision), in_force: Some(in_force), plugins }))
}

/// A pipeline with a change to it.
fn changed(
    catalogue: &Catalogue,
    current: &PipelineSpec,
    change: &PipelineChange,
) -> Result<PipelineSpec, WireError> {
    let bind_all = |kind, bindings: &Option<Vec<PluginBinding>>, unchanged: &[Binding]| match bindings {
        None => Ok(unchanged.to_vec()),
        Some(bindings) => bindings.iter().map(|binding| bind(catalogue, kind, binding)).collect(),
    };
    let mut partitioners =
        bind_all(PluginKind::Partitioner, &change.partitioner, current.partitioner.as_slice())?;
    if partitioners.len() > 1 {
        return Err(invalid("a topic has one partitioner"));
    }
    Ok(PipelineSpec {
        producer_interceptors: bind_all(
            PluginKind::ProducerInterceptor,
            &change.producer_interceptors,
            &current.producer_interceptors,
        )?,
        partitioner: partitioners.pop(),
        consumer_interceptors: bind_all(
            PluginKind::ConsumerInterceptor,
            &change.consumer_interceptors,
            &current.consumer_interceptors,
        )?,
        partitions: 0,
    })
}

fn bind(catalogue: &Catalogue, wanted: PluginKind, asked: &PluginBinding) -> Result<Binding, WireError> {
    let (version, plugin) = resolve(catalogue, &asked.plugin, asked.version.as_deref())
        .map_err(|sentence| WireError::new(ErrorCode::UnknownPlugin, sentence))?;
    if plugin.kind != wanted {
        let (plugin, kind) = (format!("{}@{version}", asked.plugin), plugin.kind);
        return Err(invalid(MetadataError::WrongKind { plugin, kind, wanted }));
    }
    let mut limits = BTreeMap::new();
    for (name, value) in &asked.limits {
        Limits::default().set(name, value).map_err(invalid)?;
        limits.insert(name.clone(), value.parse().map_err(invalid)?);
    }
    let on_failure = match asked.on_failure.as_deref() {
        None => OnFailure::Reject,
        Some(name) => OnFailure::of_name(name)
            .ok_or_else(|| invalid(format!("on failure is reject, pass or dead-letter, not '{name}'")))?,
    };
    Ok(Binding {
        plugin: asked.plugin.clone(),
        version: version.to_owned(),
        digest: plugin.digest,
        options: asked.options.clone(),
        limits,
        on_failure,
        reuse: plugin.reuse,
    })
}
