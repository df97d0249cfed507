//! Trees: which layers a root file system has, and whose layer wins when two steps give the same.

use ireko_oci::{Digest, TreeId};
use serde::{Deserialize, Serialize};

use crate::disk::{self, Hold};
use crate::error::Result;
use crate::seal::TREE;
use crate::store::Store;

#[derive(Serialize, Deserialize)]
pub(crate) struct TreeFile {
    pub(crate) layers: Vec<Digest>,
}

impl Store {
    /// The layers of a tree, bottom first, where it is known. They may be gone.
    pub fn tree(&self, tree: TreeId) -> Option<Vec<Digest>> {
        self.read_json::<TreeFile>(TREE, &self.layout.tree(tree)).map(|file| file.layers)
    }

    /// Decides which layer is the top of `tree`, once among all processes: the one that was first and is still there,
    /// otherwise `diff`, the one just put. `below` are the layers under it. The answer is held for this process.
    pub fn settle(&self, tree: TreeId, below: &[Digest], diff: Digest) -> Result<Digest> {
        let path = self.layout.tree(tree);
        let _lock = disk::lock(&self.layout.lock("settle"), Hold::Exclusive)?;
        if let Some(winner) = self.tree(tree).and_then(|layers| layers.last().copied())
            && (winner == diff || self.presence(&winner)?)
        {
            self.used(&path);
            return Ok(winner);
        }
        let layers = below.iter().copied().chain([diff]).collect();
        self.write_json(TREE, &path, &TreeFile { layers })?;
        Ok(diff)
    }
}
