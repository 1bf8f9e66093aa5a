//! How long the server waits for whom.

use std::time::Duration;

/// The time-outs of the public listener; tests bring shorter ones.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For a query or a mutation: what waits longer waits for something that is broken.
    pub execution: Duration,
    /// For a request's body, and for the rest of a message on a WebSocket.
    pub body: Duration,
    /// For `connection_init` on a WebSocket.
    pub initialisation: Duration,
    /// Between two pings on a WebSocket; after three without a sign of life the client is gone.
    pub ping: Duration,
    /// For one write on a WebSocket.
    pub write: Duration,
    /// For the answer to our close of a WebSocket, from when it has been written.
    pub goodbye: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            execution: seconds(10),
            body: seconds(10),
            initialisation: seconds(10),
            ping: seconds(20),
            write: seconds(30),
            goodbye: seconds(1),
        }
    }
}
