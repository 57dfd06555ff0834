//! One socket's receive buffer, and the accepted connections that send much through it.
//!
//! A connection's window keeps what is on its way within the socket's buffer, as long as it is alone. All clients of a
//! network thread share its one socket: four producers with a window each sent twice what it holds, and what did not fit
//! was dropped, to be noticed and sent again milliseconds later. So connections that have a lane, and may send batches,
//! share the windows; the others send small requests.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quinn::{Connection, VarInt};

use crate::config::Windows;

/// The buffer of one socket. Clones are handles to the same one.
#[derive(Clone, Debug)]
pub struct SharedBuffer(Arc<Mutex<Senders>>);

#[derive(Debug)]
struct Senders {
    windows: Windows,
    connections: BTreeMap<u64, Sender>,
    next: u64,
}

#[derive(Debug)]
struct Sender {
    connection: Connection,
    /// Its window, in bytes.
    window: u32,
}

/// A connection's part of the buffer, until this is dropped.
#[derive(Debug)]
pub struct BufferShare {
    buffer: SharedBuffer,
    number: u64,
}

impl SharedBuffer {
    /// The buffer that these windows are for.
    #[must_use]
    pub fn new(windows: Windows) -> SharedBuffer {
        SharedBuffer(Arc::new(Mutex::new(Senders { windows, connections: BTreeMap::new(), next: 0 })))
    }

    /// Gives a connection a part; those of the others become smaller as far as need be. What they were allowed to send
    /// already, they may still send.
    #[must_use]
    pub fn join(&self, connection: &Connection) -> BufferShare {
        let mut senders = self.lock();
        let (number, window) = (senders.next, senders.windows.connection_bytes);
        senders.next += 1;
        senders.connections.insert(number, Sender { connection: connection.clone(), window });
        senders.divide();
        BufferShare { buffer: self.clone(), number }
    }

    fn lock(&self) -> MutexGuard<'_, Senders> {
        // Connections are inserted and removed whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Senders {
    fn divide(&mut self) {
        let window = self.windows.connection_bytes_among(self.connections.len());
        self.connections.values_mut().for_each(|sender| sender.set_window(window));
    }
}

impl Sender {
    fn set_window(&mut self, window: u32) {
        if std::mem::replace(&mut self.window, window) != window {
            self.connection.set_receive_window(VarInt::from_u32(window));
        }
    }
}

impl Drop for BufferShare {
    fn drop(&mut self) {
        let mut senders = self.buffer.lock();
        let whole = senders.windows.connection_bytes;
        if let Some(mut sender) = senders.connections.remove(&self.number) {
            sender.set_window(whole);
        }
        senders.divide();
    }
}
