//! Under which digests registries have an image.

use ireko_oci::{Digest, Fields, Reference};
use ireko_store::{Image, Store};

/// Notes that a repository has an image under this digest now. A note that cannot be written is only not there later.
pub(crate) fn note_pushed(store: &Store, image: &Digest, repository: &Reference, digest: Digest) {
    let mut known = pushed(store, image);
    known.retain(|other| other.name() != repository.name());
    known.push(repository.repository().with_digest(digest));
    let body = serde_json::to_vec(&known).expect("references serialise");
    let _ = store.put_memo(&memo(image), &body);
}

/// Repositories that an image was pushed to, each with the digest that it has there; the last one last.
fn pushed(store: &Store, image: &Digest) -> Vec<Reference> {
    let known = store.memo(&memo(image));
    known.and_then(|body| serde_json::from_slice(&body).ok()).unwrap_or_default()
}

/// What an image is pinned by in the repositories of these names, and in those that it was pushed to: the digest of the
/// push, else of the manifest that it came with.
pub fn repo_digests(store: &Store, image: &Image, names: &[String]) -> Vec<Reference> {
    let mut all = pushed(store, &image.id);
    for name in names.iter().filter_map(|name| name.parse::<Reference>().ok()) {
        let is_known = all.iter().any(|known| known.name() == name.name());
        if let (false, Some(digest)) = (is_known, image.manifest) {
            all.push(name.repository().with_digest(digest));
        }
    }
    all.sort_by_key(ToString::to_string);
    all
}

/// The digest that an image has in the repository of a name; without a name, or where it is known of none, the one it was
/// pushed with last or came with.
pub fn repo_digest(store: &Store, image: &Image, name: Option<&str>) -> Option<Digest> {
    let pushed = pushed(store, &image.id);
    let named = name.and_then(|name| name.parse::<Reference>().ok());
    let own = named.as_ref().and_then(|name| pushed.iter().find(|known| known.name() == name.name()));
    match (own, named) {
        (Some(own), _) => own.digest(),
        (None, Some(_)) => image.manifest,
        (None, None) => image.manifest.or_else(|| pushed.last()?.digest()),
    }
}

fn memo(image: &Digest) -> [u8; 32] {
    Fields::new("ireko image pushed/1").bytes("image", image.to_string().as_bytes()).hash()
}
