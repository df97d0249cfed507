//! What compresses layers meanwhile, as a build sees it.

use ireko_oci::Digest;
use std::io::Write;

/// What compresses layers for a build's destinations while the build runs. It fails in silence: what is missing at the
/// end is made then, and what fails then is told.
pub trait Packing: Send + Sync {
    /// A layer of an output is decided; returns at once.
    fn decided(&self, diff: Digest);

    /// What is given the tar of an output's last layer while it is written, when no step is left to run meanwhile.
    fn last_layer(&self) -> Vec<Box<dyn LastLayer + '_>>;
}

/// Takes the tar of a layer that is being written.
pub trait LastLayer: Write + Send {
    /// The layer is in the store now.
    fn keep(self: Box<Self>, diff: &Digest);
}
