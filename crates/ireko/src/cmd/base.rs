//! `ireko base`: a base image out of Debian's archive.

use crate::arguments;
use crate::cli::{BaseArgs, Global};
use crate::cmd::{build, outdated, pack};
use crate::debian_base::{self, Wanted, With};
use crate::deliver;
use crate::engines;
use crate::environment::Environment;
use crate::failure::Failure;
use crate::room;
use crate::sbom;
use crate::session::Session;
use crate::settle;
use crate::wishes;
use ireko_oci::Platform;
use std::sync::Arc;

/// Runs the command.
pub(crate) fn run(args: &BaseArgs, global: &Global, environment: Environment) -> Result<(), Failure> {
    if args.outdated {
        return outdated::run(args, global, environment);
    }
    let (mut tags, outputs) = wishes::goals(&args.out.streamed(), false)?;
    let (suite, variant) = debian_base::named(&args.name)?;
    if tags.is_empty() && outputs.is_empty() && !args.include.is_empty() {
        return Err(Failure::user(format!(
            "`{}` with more packages would take the name of the base without",
            args.name
        ))
        .hint("name it: `-t NAME`"));
    }
    if tags.is_empty() && args.include.is_empty() {
        tags.push(arguments::Tag { target: None, name: arguments::tag(&args.name)? });
    }
    let shares = deliver::shares(&[], &tags, &outputs)?;
    let bills = sbom::read("--sbom", &args.sbom.sbom)?;
    sbom::writable(&bills, (&args.out, &outputs, &shares))?;
    let platform = settle::platform_named(args.platform.as_deref(), &environment)?;
    let platform = platform.map_or_else(Platform::host, |(platform, _)| platform);
    let wanted = Wanted {
        name: args.name.clone(),
        suite,
        variant,
        include: args.include.clone(),
        recommends: args.recommends,
        archive: args.archive.clone(),
        platform,
        labels: args.out.label.iter().map(|text| arguments::label(text)).collect(),
    };
    let progress = build::progress(&args.out, &environment)?;
    let environment = engines::chosen(environment, &outputs)?;
    let session = Session::enter(global, environment, progress, false)?;
    let cancel = crate::signals::cancel_on_signals()?;
    let store = session.store()?;
    let images = pack::images(&args.out, &session, &store, &outputs)?;
    let aborted = Arc::clone(&images);
    let _stopping = cancel.on_ask(move || aborted.abort());
    let with = With { session: &session, store: &store, images: &images, cancel: &cancel, steps: 0 };
    let (base, delivered) = room::once_more((&session, &store), || {
        let base = debian_base::made(&wanted, &with, &|_| None)?;
        let image = [base.image.clone()];
        let delivered = deliver::deliver(&images, &image, &shares, &cancel, &*session.sink())?;
        Ok((base, delivered))
    })?;
    session.screen.close();
    if !bills.is_empty() {
        let made = sbom::Made::new(&base.image, &shares);
        let told = || sbom::of_system(&store, &made, sbom::Files::Left);
        let mut bill = room::once_more((&session, &store), told)?;
        bill.fetched(&base.origins);
        sbom::write("--sbom", &bills, &bill)?;
    }
    deliver::report(&args.out, &shares, &delivered, &[])?;
    pack::print_id(&args.out, &outputs, &delivered);
    Ok(())
}
