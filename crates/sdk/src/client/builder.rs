//! How a client is made.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{Client, Inner};
use crate::connection::{Address, Options};
use crate::error::Error;
use crate::event::EVENTS_MAX;
use crate::gate::{DeviceClass, Gate};
use crate::session::{Endpoints, INPUTS_MAX, LinkState, Session, Setup};
use crate::store::Store;

/// Which of a Comet's addresses is tried first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    #[default]
    Tcp,
    WebSocket,
}

/// [`Client::builder`].
#[derive(Clone, Debug, Default)]
pub struct Builder {
    servers: Vec<String>,
    store: Option<PathBuf>,
    device: DeviceClass,
    comets: Vec<String>,
    transport: Transport,
    options: Options,
}

impl Builder {
    /// HTTP address of a server, like `http://127.0.0.1:8080`. Of several the next is asked when one is not reached.
    pub fn server(mut self, address: impl Into<String>) -> Self {
        self.servers.push(address.into());
        self
    }

    /// The file history is kept in, created if need be. Without one it is kept in memory.
    pub fn store(mut self, path: impl Into<PathBuf>) -> Self {
        self.store = Some(path.into());
        self
    }

    /// Default: [`DeviceClass::Cli`], of which an account may have ten.
    pub fn device(mut self, class: DeviceClass) -> Self {
        self.device = class;
        self
    }

    /// Name and version of the program, for the list of devices.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.options.client = name.into();
        self
    }

    /// Connect here instead of where log-in says: `tcp://`, `tls://`, `ws://` or `wss://`. Several are tried in turn.
    pub fn comet(mut self, address: impl Into<String>) -> Self {
        self.comets.push(address.into());
        self
    }

    pub fn transport(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self
    }

    /// Default 30 s; the server may ask for a shorter one. A server that is silent for three of them counts as lost.
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        (self.options.heartbeat, self.options.liveness) = (interval, interval * 3);
        self
    }

    /// Whom to trust on `tls://` and `wss://`, instead of what the operating system trusts.
    pub fn tls(mut self, config: Arc<rustls::ClientConfig>) -> Self {
        self.options.tls = Some(config);
        self
    }

    /// Opens the store, needs no network, and connects in the background if somebody was logged in.
    pub async fn build(self) -> Result<Client, Error> {
        let gate = Gate::new(&self.servers)?;
        let fixed = self.comets.iter().map(|comet| comet.parse()).collect::<Result<Vec<Address>, Error>>()?;
        let endpoints = Endpoints { fixed, prefers_websocket: self.transport == Transport::WebSocket };
        let store = Store::open(self.store).await?;

        let (events, _) = broadcast::channel(EVENTS_MAX);
        let (inputs, queue) = mpsc::channel(INPUTS_MAX);
        let (shown, state) = watch::channel(LinkState::Offline);
        let (weak_events, name) = (events.downgrade(), self.options.client.clone());
        let setup =
            Setup { store: store.clone(), gate: gate.clone(), endpoints, options: self.options, events, state: shown, inputs: queue };
        let shutdown = CancellationToken::new();
        let session = tokio::spawn(Session::new(setup).run(shutdown.clone()));
        let inner = Inner {
            store,
            gate,
            device: self.device,
            name,
            inputs,
            state,
            events: weak_events,
            session: Mutex::new(Some(session)),
            _end_on_drop: shutdown.clone().drop_guard(),
            shutdown,
        };
        Ok(Client { inner: Arc::new(inner) })
    }
}
