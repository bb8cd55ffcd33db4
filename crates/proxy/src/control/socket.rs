//! Binding the control socket.

use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use rustix::fs::Mode;

/// Listens at `path` with mode 0600. A file left by a dead process is replaced; one that somebody
/// listens on is an error.
pub(crate) fn bind(path: &Path) -> io::Result<UnixListener> {
    if path.symlink_metadata().is_ok() {
        if UnixStream::connect(path).is_ok() {
            let message = format!("another proxy listens on {}", path.display());
            return Err(io::Error::new(io::ErrorKind::AddrInUse, message));
        }
        std::fs::remove_file(path)?;
    }
    // The mask makes the file private from its first moment on; nothing else makes files meanwhile.
    let mask = rustix::process::umask(Mode::RWXG | Mode::RWXO | Mode::XUSR);
    let listener = UnixListener::bind(path);
    rustix::process::umask(mask);
    let listener = listener?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// An error unless the other end is a process of the same user. The socket's mode says so already; it may
/// have been changed.
pub(crate) fn must_be_ours(stream: &tokio::net::UnixStream) -> io::Result<()> {
    let peer = stream.peer_cred()?.uid();
    if peer != rustix::process::geteuid().as_raw() {
        let message = format!("a process of user {peer} is not served");
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
    }
    Ok(())
}
