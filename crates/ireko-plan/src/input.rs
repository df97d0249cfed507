//! What the planner is given: the Dockerfile and what was asked for on the command line.

use ireko_dockerfile::Ast;
use ireko_graph::Op;
use ireko_graph::op::{Device, Network};
use ireko_oci::{Platform, Reference};
use std::collections::BTreeMap;

/// Everything that is asked for.
#[derive(Clone, Debug)]
pub struct PlanInput {
    /// The Dockerfile.
    pub ast: Ast,
    /// Build arguments in order. One without a value is not set (it was to come from an environment that lacks it).
    pub build_args: Vec<(String, Option<String>)>,
    /// Stages wanted, by name or number; none means the last one.
    pub targets: Vec<String>,
    /// Labels put on every output.
    pub labels: Vec<(String, String)>,
    /// The main context, where it is fetched by the build itself; `None` is the local one.
    pub main: Option<Op>,
    /// Named contexts beside the main one. A name stands for a stage or an image, and hides it.
    pub contexts: BTreeMap<String, ContextSpec>,
    /// The platform of this machine.
    pub platform: Platform,
    /// The platforms asked for (`--platform`), in order; none means this machine's.
    pub target_platforms: Vec<Platform>,
    /// Which steps must run although their result is known.
    pub no_cache: NoCache,
    /// Seconds after which the remembered result of a command counts no longer; a comment above the command may say
    /// otherwise.
    pub cache_ttl: Option<u64>,
    /// What every RUN step gets.
    pub settings: StepSettings,
}

impl PlanInput {
    /// A build of the last stage, with nothing else said.
    pub fn new(ast: Ast) -> Self {
        Self {
            ast,
            build_args: Vec::new(),
            targets: Vec::new(),
            labels: Vec::new(),
            main: None,
            contexts: BTreeMap::new(),
            platform: Platform::host(),
            target_platforms: Vec::new(),
            no_cache: NoCache::None,
            cache_ttl: None,
            settings: StepSettings::default(),
        }
    }

    /// The platforms that are built: each once, in the order they were asked for.
    pub fn platforms(&self) -> Vec<Platform> {
        let mut platforms: Vec<Platform> = Vec::new();
        for platform in self.target_platforms.iter().map(|platform| platform.clone().normalized()) {
            if !platforms.contains(&platform) {
                platforms.push(platform);
            }
        }
        if platforms.is_empty() {
            platforms.push(self.build_platform());
        }
        platforms
    }

    /// The platform of this machine, in the spelling that everything is compared in.
    pub(crate) fn build_platform(&self) -> Platform {
        self.platform.clone().normalized()
    }
}

/// What stands behind the name of a context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContextSpec {
    /// A directory; the performer knows where it is.
    Dir,
    /// What a source node fetches: the file of a URL, a git repository.
    Fetched(Op),
    /// An image (`docker-image://…`).
    Image(Reference),
    /// An image in an OCI layout (`oci-layout://…`).
    Layout {
        /// The layout's directory, as the caller knows it.
        dir: String,
        /// Tag or digest in the layout; `None` is its only image.
        image: Option<String>,
    },
    /// An image that the caller makes, in words that it understands (`deb:bookworm`).
    Made(String),
}

/// Which steps must run although their result is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NoCache {
    /// None.
    #[default]
    None,
    /// All.
    All,
    /// Those of these stages.
    Stages(Vec<String>),
}

/// What every RUN step gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepSettings {
    /// The network, where an instruction does not say otherwise.
    pub network: Network,
    /// Host name; `None` is the builder's own.
    pub hostname: Option<String>,
    /// Extra lines of /etc/hosts: name and address.
    pub extra_hosts: Vec<(String, String)>,
    /// Bytes of /dev/shm.
    pub shm_size: Option<u64>,
    /// Resource limits: name, soft, hard.
    pub ulimits: Vec<(String, i64, i64)>,
    /// Devices of the machine.
    pub devices: Vec<Device>,
    /// `RUN --security=insecure` may be used.
    pub allow_insecure: bool,
}

impl Default for StepSettings {
    fn default() -> Self {
        Self {
            network: Network::Default,
            hostname: None,
            extra_hosts: Vec::new(),
            shm_size: None,
            ulimits: Vec::new(),
            devices: Vec::new(),
            allow_insecure: false,
        }
    }
}
