//! `ireko sbom`: what an image of the store consists of.

use crate::cli::{Global, Progress, SbomCommandArgs};
use crate::cmd::images::find_to_show;
use crate::cmd::transfer;
use crate::environment::Environment;
use crate::failure::Failure;
use crate::room;
use crate::sbom::{self, Files, Made};
use crate::session::Session;
use ireko_oci::Reference;
use ireko_pack::sbom::Subject;

/// Runs the command.
pub(crate) fn run(args: &SbomCommandArgs, global: &Global, environment: Environment) -> Result<(), Failure> {
    let stdout = ["-".to_owned()];
    let asked = if args.output.is_empty() { &stdout[..] } else { &args.output };
    let wishes = sbom::read("-o", asked)?;
    sbom::writable_alone("-o", &wishes)?;
    let session = Session::enter(global, environment, Progress::Quiet, false)?;
    let store = session.store()?;
    let (_, image) = find_to_show(&store, &args.image, args.platform.as_deref())?;
    transfer::complete(&session, &store, &image)?;
    let config = store.image_config(&image)?;
    // It may be asked for by its id.
    let name = args.image.parse::<Reference>().ok().map(|name| name.or_latest().to_string());
    let name = match name {
        Some(name) if store.image(&name)?.is_some() => Some(name),
        _ => None,
    };
    let made = Made {
        subject: Subject { name, id: image.id, platform: config.platform().to_string() },
        layers: image.diff_ids.clone(),
        time: config.created,
    };
    let files = if args.files { Files::Told } else { Files::Left };
    let bill = room::once_more((&session, &store), || sbom::of_system(&store, &made, files))?;
    sbom::write("-o", &wishes, &bill)
}
