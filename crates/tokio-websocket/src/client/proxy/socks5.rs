//! A connection through a SOCKS 5 proxy (RFC 1928), with user name and password (RFC 1929) or without.
//!
//! ```text
//! client                              proxy
//!   05 n methods ───────────────────►
//!     ◄─────────────────────────────── 05 method
//!   01 len user len password ───────►                     only for method 02
//!     ◄─────────────────────────────── 01 status
//!   05 01 00 type address port ─────►
//!     ◄─────────────────────────────── 05 reply 00 type address port
//! ```
//! Every answer tells its length, so that nothing is read beyond the last one.

use std::net::IpAddr;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{ProxyError, SocksReply};
use crate::client::target::{Credentials, Endpoint, Host};

const VERSION: u8 = 5;
const NO_AUTHENTICATION: u8 = 0;
const PASSWORD: u8 = 2;
const NO_METHOD: u8 = 0xFF;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// Asks the proxy at the other end of `stream` to connect to `endpoint`, whose name it resolves itself.
pub(super) async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    endpoint: &Endpoint,
    credentials: Option<&Credentials>,
) -> Result<(), ProxyError> {
    let request = request(endpoint)?;
    let greeting: &[u8] = match credentials {
        None => &[VERSION, 1, NO_AUTHENTICATION],
        Some(_) => &[VERSION, 2, NO_AUTHENTICATION, PASSWORD],
    };
    send(stream, greeting).await?;
    let [version, method] = read(stream).await?;
    check_version(version)?;
    match (method, credentials) {
        (NO_AUTHENTICATION, _) => {}
        (PASSWORD, Some(credentials)) => authenticate(stream, credentials).await?,
        (NO_METHOD, _) => return Err(ProxyError::NoAcceptableMethod),
        (method, _) => return Err(ProxyError::UnofferedMethod(method)),
    }

    send(stream, &request).await?;
    let [version, reply] = read(stream).await?;
    check_version(version)?;
    if reply != 0 {
        return Err(ProxyError::Reply(SocksReply::from_code(reply)));
    }
    let [_reserved, address_type] = read(stream).await?;
    let address_len = match address_type {
        IPV4 => 4,
        IPV6 => 16,
        NAME => {
            let [len] = read(stream).await?;
            usize::from(len)
        }
        other => return Err(ProxyError::AddressType(other)),
    };
    // The proxy's own address towards the server, and its port: of no use to us.
    stream.read_exact(&mut [0; 255 + 2][..address_len + 2]).await?;
    Ok(())
}

/// RFC 1929 §2.
async fn authenticate<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    credentials: &Credentials,
) -> Result<(), ProxyError> {
    let (user, password) = lens(credentials)?;
    let message = [&[1, user], &credentials.user[..], &[password], &credentials.password].concat();
    send(stream, &message).await?;
    // The version of this exchange is not looked at: the status alone decides.
    let [_version, status] = read(stream).await?;
    if status == 0 { Ok(()) } else { Err(ProxyError::CredentialsRefused { status }) }
}

/// The lengths of user name and password, which are 1 to 255 bytes each (RFC 1929 §2). An empty password is sent all
/// the same: users of tokens as names have none.
fn lens(credentials: &Credentials) -> Result<(u8, u8), ProxyError> {
    match (u8::try_from(credentials.user.len()), u8::try_from(credentials.password.len())) {
        (Ok(user @ 1..), Ok(password)) => Ok((user, password)),
        _ => Err(ProxyError::Url(
            "user name and password of a SOCKS proxy have at most 255 bytes, the name at least 1",
        )),
    }
}

/// Whether these credentials can be sent.
pub(super) fn check(credentials: &Credentials) -> Result<(), ProxyError> {
    lens(credentials).map(drop)
}

/// RFC 1928 §4.
fn request(endpoint: &Endpoint) -> Result<Vec<u8>, ProxyError> {
    let mut request = vec![VERSION, CONNECT, 0];
    match &endpoint.host {
        Host::Ip(IpAddr::V4(address)) => {
            request.push(IPV4);
            request.extend_from_slice(&address.octets());
        }
        Host::Ip(IpAddr::V6(address)) => {
            request.push(IPV6);
            request.extend_from_slice(&address.octets());
        }
        Host::Name(name) => {
            let len = u8::try_from(name.len()).map_err(|_| ProxyError::NameTooLong { len: name.len() })?;
            request.extend_from_slice(&[NAME, len]);
            request.extend_from_slice(name.as_bytes());
        }
    }
    request.extend_from_slice(&endpoint.port.to_be_bytes());
    Ok(request)
}

const fn check_version(version: u8) -> Result<(), ProxyError> {
    if version == VERSION { Ok(()) } else { Err(ProxyError::SocksVersion(version)) }
}

async fn send<S: AsyncWrite + Unpin>(stream: &mut S, bytes: &[u8]) -> std::io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

async fn read<const LEN: usize, S: AsyncRead + Unpin>(stream: &mut S) -> std::io::Result<[u8; LEN]> {
    let mut bytes = [0; LEN];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}
