//! Figures of registries and engines: pushing, pushing a change, pulling, loading.
use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::baseline;
use crate::figures::{Bench, libraries};
use crate::fixtures;
use crate::sample::{self, Sample};
use crate::table::{Goal, Row, Rows};
use crate::tools::{self, Tool};

/// A `docker-registry` with an empty store, on a free port of this machine.
struct Registry {
    daemon: Child,
    folder: PathBuf,
    port: u16,
}

impl Registry {
    fn start(folder: &Path) -> Result<Self> {
        tools::remove(folder)?;
        fs::create_dir_all(folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
        let port = TcpListener::bind(("127.0.0.1", 0)).context("no free port")?.local_addr()?.port();
        let config = folder.join("config.yml");
        let data = folder.join("data");
        fs::write(
            &config,
            format!(
                "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: 127.0.0.1:{port}}}\n",
                data.display()
            ),
        )?;
        let log = File::create(folder.join("log"))?;
        let daemon = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot start `docker-registry`")?;
        let registry = Self { daemon, folder: folder.to_owned(), port };
        for _ in 0..200 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Ok(registry);
            }
            thread::sleep(Duration::from_millis(25));
        }
        bail!("`docker-registry` does not answer")
    }

    fn name(&self, tag: &str) -> String {
        format!("localhost:{}/app:{tag}", self.port)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn build(tool: &Tool, folder: &Path, name: &str) -> Result<()> {
    tool.build(folder, name).map(|_| ())
}

fn push(tool: &Tool, name: &str) -> Result<Sample> {
    let mut command = tool.command();
    command.arg("push");
    if let Tool::Buildah { .. } = tool {
        command.args(["--tls-verify=false", name]).arg(format!("docker://{name}"));
    } else {
        command.arg(name);
    }
    sample::run(&mut command, tool.daemon())
}

/// A context with 1 GiB of libraries, and a small file on top.
fn context(bench: &Bench, text: &str) -> Result<PathBuf> {
    let folder = libraries(bench)?;
    fixtures::context(&folder, "FROM scratch\nCOPY lib /lib\nCOPY app.txt /app.txt\nCMD [\"/lib/x\"]\n")?;
    fs::write(folder.join("app.txt"), text).context("cannot write a file of the context")?;
    Ok(folder)
}

/// An image of 1 GiB into an empty registry, and again with a small layer changed.
pub(crate) fn pushes(bench: &Bench) -> Result<Vec<Row>> {
    let mut first = Rows::new("push of 1 GiB of /usr/lib to a registry on this machine");
    let mut again = Rows::new("the same with a small layer changed");
    let dir = bench.scratch.join("registry");
    for tool in &bench.tools {
        let mut changed = Vec::new();
        let mut note = String::new();
        let sample = bench.repeat(|seed| {
            tool.forget()?;
            let registry = Registry::start(&dir)?;
            let folder = context(bench, "first")?;
            build(tool, &folder, &registry.name("1"))?;
            let sample = push(tool, &registry.name("1"))?;
            note = format!("{:.0} MB peak", sample.peak_mb);
            let folder = context(bench, &format!("changed {seed}"))?;
            build(tool, &folder, &registry.name("2"))?;
            changed.push(push(tool, &registry.name("2"))?);
            Ok(sample)
        })?;
        tool.forget()?;
        let is_client = matches!(tool, Tool::Docker(_));
        first.add(tool.name(), sample, if is_client { String::new() } else { note });
        again.add(tool.name(), sample::median(&changed), String::new());
    }
    let files = fixtures::files(&libraries(bench)?.join("lib"))?;
    let plain = bench.repeat(|_| {
        sample::own(|| {
            ensure!(baseline::read_compress_hash(&files)? > 0, "nothing was compressed");
            Ok(())
        })
    })?;
    first.add("read, compress, hash", plain, "all cores".to_owned());
    let mut rows = first.finish(&[
        Goal::Within { who: "read, compress, hash", times: 1.2, plus_ms: 0.0 },
        Goal::Memory { mb: 150.0 },
    ]);
    rows.extend(again.finish(&[Goal::Wall { ms: 100.0 }]));
    Ok(rows)
}

/// The same image out of the registry.
pub(crate) fn pulls(bench: &Bench) -> Result<Vec<Row>> {
    let mut rows = Rows::new("pull of 1 GiB of /usr/lib from a registry on this machine");
    let Some(ireko) = bench.tools.iter().find(|tool| matches!(tool, Tool::Ireko { .. })) else {
        return Ok(Vec::new());
    };
    let registry = Registry::start(&bench.scratch.join("registry"))?;
    let name = registry.name("1");
    build(ireko, &context(bench, "first")?, &name)?;
    push(ireko, &name)?;
    let mut note = String::new();
    let sample = bench.repeat(|_| {
        ireko.forget()?;
        let sample = sample::run(ireko.command().args(["pull", &name]), None)?;
        note = format!("{:.0} MB peak; unpacked later, by the step that needs it", sample.peak_mb);
        Ok(sample)
    })?;
    rows.add(ireko.name(), sample, note);
    ireko.forget()?;
    let dest = bench.scratch.join("pulled");
    let sample = bench.repeat(|_| {
        tools::remove(&dest)?;
        let mut command = Command::new("skopeo");
        command.args(["copy", "--src-tls-verify=false"]).arg(format!("docker://{name}"));
        sample::run(command.arg(format!("oci:{}:app", dest.display())), None)
    })?;
    tools::remove(&dest)?;
    rows.add("skopeo copy", sample, format!("{:.0} MB peak, into an OCI layout", sample.peak_mb));
    Ok(rows
        .finish(&[Goal::Within { who: "skopeo copy", times: 1.0, plus_ms: 0.0 }, Goal::Memory { mb: 150.0 }]))
}

/// One file on top of 1 GiB changed, built and given to the engine.
pub(crate) fn loads(bench: &Bench) -> Result<Vec<Row>> {
    let mut rows = Rows::new("one small file on top of 1 GiB changed, built into the engine");
    let Some(engine) = bench.tools.iter().find_map(|tool| match tool {
        Tool::Docker(engine) => Some(engine),
        _ => None,
    }) else {
        return Ok(Vec::new());
    };
    for tool in &bench.tools {
        let one = |seed: usize| {
            let folder = context(bench, &format!("{} {seed}", tool.name()))?;
            let Tool::Ireko { .. } = tool else { return tool.build(&folder, "loaded") };
            let mut command = tool.command();
            command.args(["build", "--load", "-t", "loaded"]).arg(&folder).env("DOCKER_HOST", engine.host());
            // The engine works too.
            sample::run(&mut command, Some(engine.pid()))
        };
        one(usize::MAX)?;
        rows.add(tool.name(), bench.repeat(one)?, String::new());
        tool.forget()?;
    }
    Ok(rows
        .finish(&[Goal::Faster { who: "docker", times: 8.0 }, Goal::Faster { who: "buildah", times: 8.0 }]))
}
