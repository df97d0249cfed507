//! Reaching into another process's network namespace.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::AsFd;

use rustix::thread::LinkNameSpaceType;

use crate::error::{Error, Result};

/// A network namespace. It lives as long as this does, also without processes in it.
#[derive(Debug)]
pub struct NetNs {
    file: File,
}

impl NetNs {
    /// The namespace process `pid` is in.
    pub fn of(pid: u32) -> Result<Self> {
        let path = format!("/proc/{pid}/ns/net");
        let file = File::open(&path).map_err(|cause| Error::path("open network namespace", path, cause))?;
        Ok(Self { file })
    }

    /// Runs `deed` on a thread inside the namespace. What it opens there stays usable outside.
    pub fn run<T: Send>(&self, deed: impl FnOnce() -> T + Send) -> Result<T> {
        let inside = || {
            rustix::thread::move_into_link_name_space(self.file.as_fd(), Some(LinkNameSpaceType::Network))
                .map_err(|errno| Error::deed("enter the network namespace", errno))?;
            Ok(deed())
        };
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new()
                .name("netns".to_owned())
                .spawn_scoped(scope, inside)
                .map_err(|cause| Error::deed("start a thread", cause))?;
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Connects to TCP port `port` of the namespace's own 127.0.0.1.
    pub fn connect(&self, port: u16) -> Result<io::Result<TcpStream>> {
        self.run(|| TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))))
    }
}
