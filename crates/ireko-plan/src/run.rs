//! RUN and its mounts.

use crate::build::{Build, Position};
use crate::fault::{Fault, fault};
use crate::output::ContextRead;
use crate::scope::{given, proxies};
use crate::state::State;
use ireko_dockerfile::device;
use ireko_dockerfile::mount::{self, MountKind as Kind, Sharing as Share};
use ireko_dockerfile::path::clean;
use ireko_dockerfile::{Run, RunForm, Word};
use ireko_graph::op::{self, FilesFrom, Mount, MountKind, Network, Security, Sharing};
use ireko_graph::{NodeId, Op};
use ireko_oci::GuestPath;
use ireko_report::Span;

/// Where secrets are.
const SECRETS: &str = "/run/secrets";

/// Where sockets of agents are, but for their number.
const AGENTS: &str = "/run/buildkit/ssh_agent.";

/// Where a script of a heredoc is laid.
const PIPES: &str = "/dev/pipes";

impl Build<'_> {
    /// RUN.
    pub(crate) fn run(&mut self, state: &mut State, at: &Position<'_>, run: &Run) -> Result<(), Fault> {
        self.refuse(at, run)?;
        let (argv, script) = command(state, run);
        if argv.is_empty() {
            let span = at.step.at(at.step.instruction.at.span);
            return Err(fault("empty-command", "RUN names no program", span));
        }
        let mut inputs = Vec::new();
        let mut mounts = Vec::from_iter(script);
        let mut reads = Vec::new();
        for word in &run.mounts {
            let (mount, read) = self.mount(state, at, (word, &mounts), &mut inputs)?;
            mounts.push(mount);
            reads.extend(read);
        }
        let env = state.env.pairs();
        let hidden = proxies(self.input).into_iter().filter(|(name, _)| state.env.value(name).is_none());
        let settings = &self.input.settings;
        let sandbox_name = given(self.input, "BUILDKIT_SANDBOX_HOSTNAME").map(str::to_owned);
        let op = op::Run {
            argv: argv.clone(),
            env,
            hidden_env: hidden.collect(),
            cwd: state.cwd.clone(),
            user: state.image.config.user.clone(),
            network: self.network(at, run)?,
            security: match run.security.as_ref().map(|word| word.value.as_str()) {
                Some("insecure") => Security::Insecure,
                _ => Security::Sandbox,
            },
            mounts,
            hostname: settings.hostname.clone().or(sandbox_name),
            extra_hosts: settings.extra_hosts.clone(),
            shm_size: settings.shm_size,
            ulimits: settings.ulimits.clone(),
            devices: self.devices(at, run)?,
            platform: self.stages.shapes[at.stage].platform.to_string(),
        };
        let text = self.run_text(state, at, run);
        let about = self.about_in(state, at, text.clone());
        let note = note(&argv, &about.args);
        let (line, reuse) = (about.line, self.reuse_of_command(at)?);
        let node = self.step(state, (Op::Run(Box::new(op)), inputs), (about, reuse), note);
        for (context, source) in reads {
            let (text, patterns) = (text.clone(), vec![source]);
            self.read(ContextRead { context, node, line, text, patterns, excludes: Vec::new() });
        }
        Ok(())
    }

    /// The text for people: a heredoc that is the whole command is shown by its first line.
    fn run_text(&self, state: &State, at: &Position<'_>, run: &Run) -> String {
        let text = self.text(state, at);
        match (run.form(), run.heredocs.first()) {
            (RunForm::Exec(_), _) | (_, None) => text,
            (_, Some(heredoc)) => {
                let mut lines = heredoc.content.value.trim().lines();
                let first = lines.next().unwrap_or_default();
                let more = if lines.next().is_some() { "..." } else { "" };
                format!("{text} ({first}{more})")
            }
        }
    }

    fn network(&self, at: &Position<'_>, run: &Run) -> Result<Network, Fault> {
        let Some(word) = &run.network else { return Ok(self.input.settings.network) };
        match word.value.as_str() {
            "" | "default" => Ok(self.input.settings.network),
            "none" => Ok(Network::None),
            "host" => Ok(Network::Host),
            other => {
                let message = format!("`{other}` is no network mode: it is default, none or host");
                Err(fault("bad-network", message, at.step.at(word.span)))
            }
        }
    }

    /// The devices of all steps, and this one's.
    fn devices(&self, at: &Position<'_>, run: &Run) -> Result<Vec<op::Device>, Fault> {
        let mut devices = self.input.settings.devices.clone();
        for word in &run.devices {
            let span = at.step.at(word.span);
            let device::Device { name, required } = device::parse(&word.value).map_err(|why| {
                fault("bad-device", format!("cannot use the device `{}`: {why}", word.value), span)
            })?;
            if name.is_empty() {
                let mut fault = fault("bad-device", "`RUN --device` names no device", span);
                fault.hint = Some("devices are named like vendor.com/class=name".to_owned());
                return Err(fault);
            }
            devices.push(op::Device { name, required });
        }
        Ok(devices)
    }

    /// Refuses what cannot be done, or was not allowed.
    fn refuse(&self, at: &Position<'_>, run: &Run) -> Result<(), Fault> {
        let Some(word) = &run.security else { return Ok(()) };
        let span = at.step.at(word.span);
        match word.value.as_str() {
            "" | "sandbox" => Ok(()),
            "insecure" if self.input.settings.allow_insecure => Ok(()),
            "insecure" => {
                let message = "`RUN --security=insecure` was not allowed: it gives the step every capability";
                let mut fault = fault("not-allowed", message, span);
                fault.hint = Some("if that is meant, give `--allow security.insecure`".to_owned());
                Err(fault)
            }
            other => {
                let message = format!("`{other}` is no security mode: it is sandbox or insecure");
                Err(fault("bad-security", message, span))
            }
        }
    }

    /// One mount, and what it reads of a context; `before` are those that stand before it.
    fn mount(
        &mut self,
        state: &State,
        at: &Position<'_>,
        (word, before): (&Word, &[Mount]),
        inputs: &mut Vec<NodeId>,
    ) -> Result<(Mount, Option<(String, String)>), Fault> {
        let span = at.step.at(word.span);
        let lexer = self.lexer(at.step);
        let mut expand = |value: &str| match lexer.word(value, &state.env) {
            Ok(expanded) => Ok(expanded.text),
            Err(error) => Err(error.to_string()),
        };
        let wrong = |why| fault("bad-mount", format!("cannot use the mount `{}`: {why}", word.value), span);
        let read = mount::parse(&word.value, &mut expand).map_err(wrong)?;
        let from = self.mount_from(&read, at, inputs, span)?;
        let source = GuestPath::root().join(&read.source);
        let source = source.map_err(|error| wrong(error.to_string()))?;
        let seen = match (&from, read.kind) {
            (FilesFrom::Context(name), Kind::Bind | Kind::Cache) => {
                Some((name.clone(), if source.is_root() { "." } else { source.relative() }.to_owned()))
            }
            _ => None,
        };
        let target = match (read.kind, read.target.as_str()) {
            (Kind::Ssh, "") => {
                let path = format!("{AGENTS}{}", before.iter().filter(|mount| is_agent(mount)).count());
                GuestPath::root().join(&path).map_err(|error| wrong(error.to_string()))?
            }
            (_, target) => state.path(target, span)?,
        };
        let number = |value: Option<u32>, default: u32| value.unwrap_or(default);
        let (uid, gid) = (number(read.uid, 0), number(read.gid, 0));
        let kind = match read.kind {
            Kind::Bind => MountKind::Bind { from, source, writable: !read.read_only },
            Kind::Tmpfs => MountKind::Tmpfs { size: read.size.filter(|size| *size > 0) },
            Kind::Cache => MountKind::Cache {
                id: self.cache_id(&read),
                sharing: match read.sharing {
                    None | Some(Share::Shared) => Sharing::Shared,
                    Some(Share::Private) => Sharing::Private,
                    Some(Share::Locked) => Sharing::Locked,
                },
                from,
                source,
                mode: number(read.mode, 0o755),
                uid,
                gid,
                read_only: read.read_only,
            },
            Kind::Secret => {
                let (required, mode, env) = (read.required, number(read.mode, 0o400), read.env.clone());
                let (id, file) = (read.secret_id().to_owned(), read.secret_target());
                let target = state.path(file.as_deref().unwrap_or(SECRETS), span)?;
                let kind = MountKind::Secret { id, required, mode, uid, gid, env, file: file.is_some() };
                return Ok((Mount { target, kind }, None));
            }
            Kind::Ssh => MountKind::Ssh {
                id: read.id.clone().filter(|id| !id.is_empty()).unwrap_or_else(|| "default".to_owned()),
                required: read.required,
                mode: number(read.mode, 0o600),
                uid,
                gid,
            },
        };
        if target.is_root() {
            let none = read.target.is_empty();
            return Err(wrong(if none { "it has no `target`" } else { "its target is `/`" }.to_owned()));
        }
        Ok((Mount { target, kind }, seen))
    }

    fn mount_from(
        &mut self,
        mount: &mount::Mount,
        at: &Position<'_>,
        inputs: &mut Vec<NodeId>,
        span: Span,
    ) -> Result<FilesFrom, Fault> {
        match (mount.kind, mount.from.as_str()) {
            (Kind::Tmpfs | Kind::Secret | Kind::Ssh, _) | (Kind::Cache, "") => Ok(FilesFrom::Empty),
            (Kind::Bind, "") => Ok(self.main_files(inputs, at)),
            (Kind::Bind | Kind::Cache, from) => {
                let source = self.stages.mount_source(from, span)?;
                self.files_from(&source, inputs, at, span)
            }
        }
    }

    /// The name of a cache: its target as written, where no other is given.
    fn cache_id(&self, mount: &mount::Mount) -> String {
        let id = match mount.id.as_deref().filter(|id| !id.is_empty()) {
            Some(id) => id.to_owned(),
            None => clean(&mount.target),
        };
        match given(self.input, "BUILDKIT_CACHE_MOUNT_NS").filter(|space| !space.is_empty()) {
            Some(space) => format!("{space}/{id}"),
            None => id,
        }
    }
}

fn is_agent(mount: &Mount) -> bool {
    matches!(mount.kind, MountKind::Ssh { .. })
}

/// What is run, and the script that has to be there for it.
fn command(state: &State, run: &Run) -> (Vec<String>, Option<Mount>) {
    match run.form() {
        RunForm::Exec(argv) => (argv, None),
        RunForm::Shell(line) => (state.with_shell(&line), None),
        RunForm::Script { name, content } => {
            let target = GuestPath::root().join(&format!("{PIPES}/{name}"));
            let target = target.expect("the name of a heredoc holds no zero byte");
            let kind = MountKind::Inline { bytes: content, mode: 0o755 };
            (state.with_shell(target.as_str()), Some(Mount { target, kind }))
        }
    }
}

fn note(argv: &[String], args: &[(String, String)]) -> String {
    let mut words = vec!["RUN".to_owned()];
    if !args.is_empty() {
        words.push(format!("|{}", args.len()));
        words.extend(args.iter().map(|(name, value)| format!("{name}={value}")));
    }
    words.extend_from_slice(argv);
    words.push("# buildkit".to_owned());
    words.join(" ")
}
