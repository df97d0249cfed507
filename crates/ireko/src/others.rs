//! What a build makes of the flags of others: what they stand for, what is told of them, and what is refused.

use crate::arguments::{Form, Output};
use crate::cli::BuildArgs;
use crate::cli::others::OthersArgs;
use crate::failure::Failure;
use std::collections::BTreeMap;

/// What flags of others stand for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Meant {
    /// More build arguments.
    pub(crate) build_args: Vec<(String, Option<String>)>,
    /// The platform, said in parts.
    pub(crate) platform: Option<String>,
    /// Annotations of manifests.
    pub(crate) annotations: BTreeMap<String, String>,
    /// Docker's media types where it is pushed.
    pub(crate) docker_types: bool,
    /// What is to be told.
    pub(crate) warnings: Vec<String>,
}

/// Reads them.
///
/// # Errors
/// One of them asks for what would make another image, or another build, and is not there.
pub(crate) fn read(args: &BuildArgs) -> Result<Meant, Failure> {
    let others = &args.others;
    refuse(others)?;
    let annotations = others.annotation.iter().map(|text| annotation(text)).collect::<Result<_, _>>()?;
    let mut meant = Meant { warnings: warnings(others), annotations, ..Meant::default() };
    meant.warnings.splice(0..0, others.notes.iter().cloned());
    if let Some(seconds) = &others.timestamp {
        meant.build_args.push(("SOURCE_DATE_EPOCH".to_owned(), Some(seconds.clone())));
    }
    if others.arch.is_some() || others.os.is_some() || others.variant.is_some() {
        if !args.source.platform.is_empty() {
            return Err(Failure::user("`--platform` and one of `--arch`, `--os` and `--variant` are given")
                .hint("say it all with --platform"));
        }
        let host = ireko_oci::Platform::host();
        let os = others.os.as_deref().unwrap_or(&host.os);
        let arch = others.arch.as_deref().unwrap_or(&host.architecture);
        let variant = others.variant.as_deref().map(|variant| format!("/{variant}")).unwrap_or_default();
        meant.platform = Some(format!("{os}/{arch}{variant}"));
    }
    meant.docker_types = others.format.as_deref() == Some("docker");
    Ok(meant)
}

/// Reads one `--annotation`.
fn annotation(text: &str) -> Result<(String, String), Failure> {
    let wrong = || {
        Failure::user(format!("`--annotation {text}` is not of the form name=value"))
            .hint("write --annotation org.opencontainers.image.source=https://…")
    };
    let (name, value) = text.split_once('=').ok_or_else(wrong)?;
    let (level, name) = match name.split_once(':') {
        Some((level, name)) => (level, name),
        None => ("manifest", name),
    };
    if name.is_empty() {
        return Err(wrong());
    }
    match level {
        "manifest" => Ok((name.to_owned(), value.to_owned())),
        _ => Err(Failure::user(format!("`--annotation {level}:…` is not supported")).hint(
            "annotations of manifests there are: `--annotation name=value`, which holds for each platform's",
        )),
    }
}

/// What is told where no manifest is written that could have them.
pub(crate) fn lost_annotations(meant: &Meant, outputs: &[Output]) -> Option<String> {
    let has_manifest = |output: &Output| matches!(output.form, Form::Registry | Form::OciTar | Form::OciDir);
    (!meant.annotations.is_empty() && !outputs.iter().any(has_manifest)).then(|| {
        "`--annotation`: only an image that is pushed, or written as `type=oci`, has annotations; the store keeps none"
            .to_owned()
    })
}

/// Whether what an `--attest` asks for is switched off.
fn is_off(attest: &str) -> bool {
    let fields = attest.split(',').map(str::trim);
    fields.into_iter().any(|field| matches!(field, "disabled=true" | "disabled=1" | "disabled"))
}

/// What is told of: the image is the same without.
fn warnings(others: &OthersArgs) -> Vec<String> {
    let mut told = Vec::new();
    let cache = [("--cache-from", &others.cache_from), ("--cache-to", &others.cache_to)];
    let cache: Vec<String> = cache
        .iter()
        .filter(|(_, values)| values.iter().any(|value| !value.is_empty()))
        .map(|(flag, _)| format!("`{flag}`"))
        .collect();
    if !cache.is_empty() {
        told.push(format!(
            "{}: there is no cache elsewhere yet; what ireko remembers lies in its store, which may be kept between builds",
            cache.join(" and ")
        ));
    }
    let provenance = others.provenance.as_deref().is_some_and(|value| !matches!(value, "false" | "0" | ""));
    let attest = others.attest.iter().any(|attest| attest.contains("type=provenance") && !is_off(attest));
    if provenance || attest {
        let flag = if provenance { "--provenance" } else { "--attest type=provenance" };
        told.push(format!("`{flag}`: no attestation is made; the image is the same without"));
    }
    if let Some(name) = others.builder.as_deref().filter(|name| !matches!(*name, "default" | "")) {
        told.push(format!("`--builder {name}`: there are no builders to choose from; it is built here"));
    }
    if others.skip_unused_stages.as_deref().is_some_and(|value| matches!(value, "false" | "0")) {
        told.push(
            "`--skip-unused-stages=false`: a stage that no target needs is not built; name it with `--target STAGE,TARGET`"
                .to_owned(),
        );
    }
    told
}

/// What would make another image, or run its steps otherwise.
fn refuse(others: &OthersArgs) -> Result<(), Failure> {
    let no = |flag: String, hint: &str| Err(Failure::user(format!("{flag} is not supported")).hint(hint));
    if others.sbom.as_deref().is_some_and(|value| !matches!(value, "false" | "0" | "")) {
        return no(
            "`--sbom`".to_owned(),
            "leave it out, and make the list afterwards: `ireko sbom IMAGE` tells Debian's packages, and `ireko save --type oci` writes what other tools read",
        );
    }
    for attest in others.attest.iter().filter(|attest| !is_off(attest)) {
        if !attest.contains("type=provenance") {
            return no(format!("`--attest {attest}`"), "leave it out: no attestations are made");
        }
    }
    const SQUASH: &str = "a last stage `FROM scratch` with `COPY --from=0 / /` has one layer";
    if others.squash {
        return no("`--squash`".to_owned(), SQUASH);
    }
    if others.squash_all {
        return no("`--squash-all`".to_owned(), SQUASH);
    }
    if others.layers.as_deref().is_some_and(|value| matches!(value, "false" | "0")) {
        return no("`--layers=false`".to_owned(), SQUASH);
    }
    for option in &others.security_opt {
        let is_kept = option.starts_with("label=")
            || option.starts_with("label:")
            || matches!(
                option.as_str(),
                "apparmor=unconfined" | "apparmor:unconfined" | "no-new-privileges=false"
            );
        if !is_kept {
            return no(
                format!("`--security-opt {option}`"),
                "a step without confinement is `RUN --security=insecure`, with `--allow security.insecure`",
            );
        }
    }
    let own = |value: &Option<String>| {
        value.clone().filter(|value| !matches!(value.as_str(), "" | "private" | "container" | "auto"))
    };
    for (flag, value) in [
        ("--cgroupns", &others.cgroupns),
        ("--ipc", &others.ipc),
        ("--pid", &others.pid),
        ("--userns", &others.userns),
        ("--uts", &others.uts),
    ] {
        if let Some(value) = own(value) {
            return no(format!("`{flag} {value}`"), "a step has namespaces of its own: leave it out");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
