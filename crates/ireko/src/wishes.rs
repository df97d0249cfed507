//! What a build was told by its flags and variables, read before anything is touched.

use crate::agents;
use crate::arguments::{self, Allow, Form, Output, SecretSource, Tag};
use crate::authorities;
use crate::cli::{BuildArgs, OutputArgs};
use crate::devices;
use crate::environment::Environment;
use crate::failure::Failure;
use crate::others;
use crate::proxies;
use crate::settle;
use crate::text;
use ireko_exec::cdi::Allowed;
use ireko_exec::{Authorities, Secrets};
use ireko_oci::{Platform, Reference};
use ireko_plan::StepSettings;
use ireko_sys::cgroup::Limits;
use std::collections::BTreeMap;
use std::fs;

/// What was typed, read before anything is touched.
pub(crate) struct Wishes {
    pub(crate) tags: Vec<Tag>,
    pub(crate) outputs: Vec<Output>,
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) build_args: Vec<(String, Option<String>)>,
    pub(crate) platforms: Vec<Platform>,
    pub(crate) secrets: Secrets,
    pub(crate) agents: Vec<agents::Wish>,
    pub(crate) cache_ttl: Option<u64>,
    pub(crate) limits: Limits,
    pub(crate) settings: StepSettings,
    pub(crate) devices: Allowed,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) authorities: Option<Authorities>,
    /// What is told of flags of others.
    pub(crate) warnings: Vec<String>,
}

impl Wishes {
    /// Reads it.
    pub(crate) fn read(args: &BuildArgs, environment: &Environment) -> Result<Self, Failure> {
        let mut meant = others::read(args)?;
        let (tags, outputs) = goals(&args.out, meant.docker_types)?;
        meant.warnings.extend(others::lost_annotations(&meant, &outputs));
        let platforms = match &meant.platform {
            Some(platform) => settle::platforms(std::slice::from_ref(platform), environment)?,
            None => settle::platforms(&args.source.platform, environment)?,
        };
        let allow = arguments::allow(&args.allow)?;
        refuse_docker_archives(&outputs, &platforms)?;
        let mut build_args: Vec<(String, Option<String>)> =
            args.source.build_arg.iter().map(|text| arguments::build_arg(text, environment)).collect();
        for (name, value) in meant.build_args {
            if !build_args.iter().any(|(known, _)| *known == name) {
                build_args.push((name, value));
            }
        }
        // What is given wins; by itself no proxy of this process reaches a step.
        for (name, value) in proxies::for_steps(environment, args.http_proxy)? {
            if !build_args.iter().any(|(given, _)| *given == name) {
                build_args.push((name, Some(value)));
            }
        }
        if let Some(epoch) = environment
            .get("SOURCE_DATE_EPOCH")
            .filter(|_| !build_args.iter().any(|(name, _)| name == "SOURCE_DATE_EPOCH"))
        {
            build_args.push(("SOURCE_DATE_EPOCH".to_owned(), Some(epoch.to_owned())));
        }
        Ok(Self {
            tags,
            outputs,
            labels: args.out.label.iter().map(|text| arguments::label(text)).collect(),
            build_args,
            platforms,
            secrets: secrets(args, environment)?,
            agents: args
                .ssh
                .iter()
                .map(|text| agents::Wish::parse(text, environment))
                .collect::<Result<_, _>>()?,
            cache_ttl: args.cache_ttl.as_deref().map(arguments::lifetime).transpose()?,
            limits: args.limits.read()?,
            settings: settings(args, &allow)?,
            devices: devices::allowed(&args.devices, allow.devices),
            annotations: meant.annotations,
            authorities: authorities::read(&args.ca, environment)?,
            warnings: meant.warnings,
        })
    }
}

/// The names of an image in the store, and where else it goes.
pub(crate) fn goals(args: &OutputArgs, docker_types: bool) -> Result<(Vec<Tag>, Vec<Output>), Failure> {
    let mut tags = args.tag.iter().map(|text| Tag::parse(text)).collect::<Result<Vec<_>, _>>()?;
    let mut outputs = args.output.iter().map(|text| Output::parse(text)).collect::<Result<Vec<_>, _>>()?;
    if args.load && !outputs.iter().any(|output| output.form == Form::Engine) {
        outputs.push(Output::plain(Form::Engine, None));
    }
    if args.push && !outputs.iter().any(|output| output.form == Form::Registry) {
        // What is to be an image in the store is pushed, as with buildx.
        match outputs.iter_mut().find(|output| output.form == Form::Store) {
            Some(output) => output.form = Form::Registry,
            None => outputs.push(Output::plain(Form::Registry, None)),
        }
    }
    for output in outputs.iter().filter(|output| output.form == Form::Store) {
        let named = |name: &Reference| Tag { target: output.target.clone(), name: name.clone() };
        tags.extend(output.names.iter().map(named));
    }
    for output in outputs.iter_mut().filter(|output| output.form == Form::Registry) {
        output.docker_types |= docker_types;
    }
    let to_stdout = outputs.iter().filter(|output| output.is_stdout()).count();
    if to_stdout > 1 {
        return Err(Failure::user("two outputs are to go to standard output").hint("give them dest=PATH"));
    }
    Ok((tags, outputs))
}

/// Docker's archive names one image where an index would be needed.
fn refuse_docker_archives(outputs: &[Output], platforms: &[Platform]) -> Result<(), Failure> {
    let is_docker = |output: &Output| matches!(output.form, Form::DockerTar | Form::DockerDir | Form::Engine);
    if platforms.len() < 2 || !outputs.iter().any(is_docker) {
        return Ok(());
    }
    let list: Vec<String> = platforms.iter().map(ToString::to_string).collect();
    let message = format!(
        "`type=docker` in `-o` holds an image for one platform, and this build is for {}: {}",
        list.len(),
        list.join(", ")
    );
    Err(Failure::user(message).hint("use type=oci, which holds an index, or build one platform at a time"))
}

/// The secrets that were given.
pub(crate) fn secrets(args: &BuildArgs, environment: &Environment) -> Result<Secrets, Failure> {
    let mut secrets = BTreeMap::new();
    for text in &args.secret {
        let (id, source) = arguments::secret(text, environment)?;
        let source = match source {
            SecretSource::File(path) => {
                let path = std::path::absolute(&path)
                    .map_err(|error| Failure::user(format!("cannot use secret `{id}`")).cause(error))?;
                fs::File::open(&path).map_err(|error| {
                    Failure::user(format!("cannot read secret `{id}` from `{}`", path.display())).cause(error)
                })?;
                ireko_exec::SecretSource::File(path)
            }
            SecretSource::Variable(name) => match environment.raw(&name) {
                Some(value) => ireko_exec::SecretSource::Value(value.as_bytes().to_vec()),
                None => {
                    return Err(Failure::user(format!(
                        "secret `{id}` is to come from variable `{name}`, which is not set"
                    )));
                }
            },
        };
        secrets.insert(id, source);
    }
    Ok(Secrets(secrets))
}

fn settings(args: &BuildArgs, allow: &Allow) -> Result<StepSettings, Failure> {
    let network = match args.network.as_str() {
        "default" => ireko_graph::op::Network::Default,
        "host" => ireko_graph::op::Network::Host,
        "none" => ireko_graph::op::Network::None,
        other => {
            return Err(
                Failure::user(format!("`--network {other}` is unknown")).hint("use default, host or none")
            );
        }
    };
    let size = |text: &String| text::memory("--shm-size ", text);
    Ok(StepSettings {
        network,
        hostname: None,
        extra_hosts: args.add_host.iter().map(|text| arguments::host(text)).collect::<Result<_, _>>()?,
        shm_size: args.shm_size.as_ref().map(size).transpose()?,
        ulimits: args.ulimit.iter().map(|text| arguments::ulimit(text)).collect::<Result<_, _>>()?,
        devices: args.devices.wanted(),
        allow_insecure: allow.insecure,
    })
}
