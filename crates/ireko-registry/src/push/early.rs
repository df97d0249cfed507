//! Uploads that begin before it is known what is sent: the bytes go as they are made, the digest is said at the end.

use std::io::Read;

use ireko_http::Request;
use ireko_oci::Reference;

use super::{Content, Failure, Place, Sending};
use crate::error::RegistryError;
use crate::registry::Registry;

/// An upload that has its bytes, and waits for their digest.
#[derive(Debug)]
pub struct Begun {
    url: String,
    sent: u64,
}

impl Registry {
    /// Sends a blob of which neither digest nor size are known, in one request and only once: where that fails, the
    /// blob is pushed when it is known. `content` may wait for bytes. [`Registry::push_blob`] closes the upload, or
    /// [`Registry::abandon`] gives it up; one that fails is given up here.
    ///
    /// # Errors
    /// The registry refuses, or is out of reach; the content cannot be read.
    pub fn begin_blob(
        &self,
        reference: &Reference,
        content: Content<'_>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Begun, RegistryError> {
        let destination = self.hosts.destination(reference)?;
        let place = Place::new(self, &destination, format!("a layer for `{}`", reference.familiar()));
        place.begin(content, progress).map_err(|failure| *failure.error)
    }

    /// Asks whether something may be pushed to a repository, by an upload that is begun and gets nothing. Who asks gives
    /// it up with [`Registry::abandon`]. An answer that neither allows nor denies it leaves that to the push.
    ///
    /// # Errors
    /// The registry denies it, or is out of reach.
    pub fn may_push(&self, reference: &Reference) -> Result<Option<Begun>, RegistryError> {
        let destination = self.hosts.destination(reference)?;
        let place = Place::new(self, &destination, format!("`{}`", reference.familiar()));
        let response = place.ask(Request::post(&place.url("blobs/uploads/")), &place.scope)?;
        match response.status() {
            401 | 403 => Err(self.refused(&destination, &place.what, true, response)),
            202 => Ok(place.upload(&response).map(|upload| Begun { url: upload.url, sent: 0 })),
            _ => Ok(None),
        }
    }

    /// Gives up an upload.
    pub fn abandon(&self, reference: &Reference, begun: &Begun) {
        if let Ok(destination) = self.hosts.destination(reference) {
            Place::new(self, &destination, String::new()).abandon(begun);
        }
    }
}

impl Place<'_> {
    fn begin(&self, content: Content<'_>, progress: &mut dyn FnMut(u64)) -> Result<Begun, Failure> {
        let post = Request::post(&self.url("blobs/uploads/")).map_err(|cause| self.failed(cause))?;
        let response = self.put(&post, NOTHING, (0, Some(0)), &mut |_| {})?;
        let begun = self.upload(&response).ok_or_else(|| self.strange("an upload without a place"))?;
        drop(response);
        let mut begun = Begun { url: begun.url, sent: 0 };
        let sent = self.stream(&mut begun, content, progress);
        if sent.is_err() {
            self.abandon(&begun);
        }
        sent.map(|()| begun)
    }

    /// Sends all of the content.
    fn stream(
        &self,
        begun: &mut Begun,
        content: Content<'_>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), Failure> {
        let request = self.part(Request::patch(&begun.url))?;
        let mut sent = 0;
        let response = self.put(&request, content, (0, None), &mut |done| {
            sent = done;
            progress(done);
        })?;
        begun.sent = sent;
        if let Some(upload) = self.upload(&response) {
            begun.url = upload.url;
        }
        // Of one byte and of none the same is said; so little is not sent early.
        match response.header("range").and_then(super::last_byte) {
            Some(last) if last.checked_add(1) != Some(sent) => {
                Err(self.strange(&format!("that it has {last} of {sent} bytes")).into())
            }
            _ => Ok(()),
        }
    }

    /// Cancels an upload. A registry that does not know how forgets it by itself some day.
    pub(super) fn abandon(&self, begun: &Begun) {
        if let Ok(request) = Request::delete(&begun.url) {
            let _ = self.put(&request, NOTHING, (0, Some(0)), &mut |_| {});
        }
    }
}

impl Sending<'_> {
    /// Says the digest of an upload that has all bytes; false where there is no such blob after it.
    pub(super) fn close_begun(&self, begun: &Begun) -> bool {
        begun.sent == self.blob.size && self.close(&begun.url, begun.sent, &mut |_| {}).is_ok()
    }
}

/// The content of a request that has none.
const NOTHING: Content<'static> = &|_| Ok(Box::new(std::io::empty()) as Box<dyn Read + Send>);
