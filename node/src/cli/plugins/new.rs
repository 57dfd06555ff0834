//! `weir plugins new`: a project that builds.

use std::path::PathBuf;

use weir_plugin_template::{Kind, project};

use crate::cli::files;
use crate::cli::output::{Done, Exit, Failure, Output};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The plugin's name: a-z, 0-9 and -, a letter first
    name: String,
    /// producer-interceptor, consumer-interceptor, partitioner or assignor
    #[arg(long)]
    kind: Kind,
    /// Where to write it [default: a folder of the plugin's name]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(super) fn run(args: &Args, output: Output) -> Done {
    let project = project(&args.name, args.kind).map_err(Failure::new)?;
    let folder = args.out.clone().unwrap_or_else(|| PathBuf::from(&args.name));
    files::write_folder(&folder, project.iter().map(|file| (file.path.as_str(), file.text.as_str())))?;
    let shown = folder.display();
    output
        .line(&format!("wrote {shown}, a {}; what to do with it stands in {shown}/README.md", args.kind))?;
    output.note(&format!("  cd {shown} && cargo test"));
    output.result(&serde_json::json!({
        "name": args.name,
        "kind": args.kind.name(),
        "folder": folder,
        "files": project.iter().map(|file| &file.path).collect::<Vec<_>>(),
    }))?;
    Ok(Exit::Success)
}
