//! Ending what goes on with engines.

use std::sync::{Mutex, MutexGuard, PoisonError};

use ireko_http::Client;

/// The transfers of several engines, which end together: those of now and of engines that are reached later.
#[derive(Debug, Default)]
pub struct Transfers(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    aborted: bool,
    clients: Vec<Client>,
}

impl Transfers {
    /// Ends every transfer, now and later.
    pub fn abort(&self) {
        let mut state = self.lock();
        state.aborted = true;
        state.clients.iter().for_each(Client::abort);
    }

    /// Lets transfers begin again.
    pub fn resume(&self) {
        let mut state = self.lock();
        state.aborted = false;
        state.clients.iter().for_each(Client::resume);
    }

    /// One more, before its first request.
    pub(crate) fn add(&self, client: &Client) {
        let mut state = self.lock();
        if state.aborted {
            client.abort();
        }
        state.clients.push(client.clone());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
