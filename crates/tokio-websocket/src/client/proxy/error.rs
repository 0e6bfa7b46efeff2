//! Why there is no way through a proxy.

use sockeye_websocket::handshake::HandshakeError;
use std::{fmt, io};

use crate::client::refusal::WithReason;

/// Why a proxy did not lead to the server.
#[derive(Debug)]
#[non_exhaustive]
pub enum ProxyError {
    /// What should be the URL of a proxy is not one.
    Url(&'static str),
    /// The proxy cannot be reached, or its connection failed before it led to the server.
    Io(io::Error),
    /// TLS with the proxy failed. The source is as that of [`Error::Tls`](crate::Error::Tls).
    Tls(io::Error),
    /// The proxy ended the connection instead of answering.
    UnexpectedEof,
    /// An HTTP proxy's answer is not one, or above the limits.
    Http(HandshakeError),
    /// An HTTP proxy answered CONNECT with a status that is not 2xx; 407 asks for (other) credentials.
    Status(u16),
    /// The proxy answered in another version than SOCKS 5.
    SocksVersion(u8),
    /// The server's name is longer than the 255 bytes that SOCKS can send (RFC 1928 §5).
    NameTooLong {
        /// The name's length in bytes.
        len: usize,
    },
    /// The SOCKS proxy accepts none of the offered ways to authenticate (RFC 1928 §3): most likely it wants a user name
    /// and a password.
    NoAcceptableMethod,
    /// The SOCKS proxy chose a way to authenticate that was not offered.
    UnofferedMethod(u8),
    /// The SOCKS proxy did not accept user name and password (RFC 1929 §2).
    CredentialsRefused {
        /// The status that it gave, which is not 0.
        status: u8,
    },
    /// The SOCKS proxy did not connect (RFC 1928 §6).
    Reply(SocksReply),
    /// The SOCKS proxy's answer holds an address of a type that there is not (RFC 1928 §5).
    AddressType(u8),
}

/// Why a SOCKS proxy did not connect (RFC 1928 §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SocksReply {
    /// 1: general failure of the proxy.
    GeneralFailure,
    /// 2: the proxy's rules do not allow the connection.
    NotAllowed,
    /// 3: the network is unreachable.
    NetworkUnreachable,
    /// 4: the host is unreachable, or its name has no address.
    HostUnreachable,
    /// 5: the server refused the connection.
    ConnectionRefused,
    /// 6: the time to live ran out on the way.
    TtlExpired,
    /// 7: the proxy does not know CONNECT.
    CommandNotSupported,
    /// 8: the proxy does not know this type of address.
    AddressTypeNotSupported,
    /// A code that the specification does not assign.
    Unassigned(u8),
}

impl SocksReply {
    pub(super) const fn from_code(code: u8) -> Self {
        match code {
            1 => Self::GeneralFailure,
            2 => Self::NotAllowed,
            3 => Self::NetworkUnreachable,
            4 => Self::HostUnreachable,
            5 => Self::ConnectionRefused,
            6 => Self::TtlExpired,
            7 => Self::CommandNotSupported,
            8 => Self::AddressTypeNotSupported,
            code => Self::Unassigned(code),
        }
    }
}

impl fmt::Display for SocksReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::GeneralFailure => "general failure",
            Self::NotAllowed => "its rules do not allow the connection",
            Self::NetworkUnreachable => "network unreachable",
            Self::HostUnreachable => "host unreachable",
            Self::ConnectionRefused => "connection refused by the server",
            Self::TtlExpired => "time to live expired",
            Self::CommandNotSupported => "command not supported",
            Self::AddressTypeNotSupported => "address type not supported",
            Self::Unassigned(code) => return write!(f, "unassigned reply {code}"),
        })
    }
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(problem) => write!(f, "not the URL of a proxy: {problem}"),
            Self::Io(error) => write!(f, "connection to the proxy failed: {error}"),
            Self::Tls(error) => write!(f, "TLS with the proxy failed: {error}"),
            Self::UnexpectedEof => f.write_str("the proxy ended the connection instead of answering"),
            Self::Http(error) => write!(f, "the proxy's answer cannot be read: {error}"),
            Self::Status(407) => f.write_str(
                "the proxy answered CONNECT with status 407: it wants other credentials, given in its URL",
            ),
            Self::Status(status) => {
                write!(f, "the proxy answered CONNECT with status {}", WithReason(*status))
            }
            Self::SocksVersion(version) => {
                write!(f, "the proxy does not speak SOCKS 5: its answer begins with {version}")
            }
            Self::NameTooLong { len } => {
                write!(f, "a server's name of {len} bytes is above the 255 of SOCKS")
            }
            Self::NoAcceptableMethod => f.write_str(
                "the proxy accepts none of the offered ways to authenticate; does it want a password?",
            ),
            Self::UnofferedMethod(method) => {
                write!(f, "the proxy chose authentication method {method}, not offered")
            }
            Self::CredentialsRefused { status } => {
                write!(f, "the proxy did not accept user name and password (status {status})")
            }
            Self::Reply(reply) => write!(f, "the proxy did not connect: {reply}"),
            Self::AddressType(kind) => write!(f, "the proxy answered with an unknown address type {kind}"),
        }
    }
}

impl std::error::Error for ProxyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) | Self::Tls(error) => Some(error),
            Self::Http(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for ProxyError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::UnexpectedEof,
            _ => Self::Io(error),
        }
    }
}

impl From<HandshakeError> for ProxyError {
    fn from(error: HandshakeError) -> Self {
        Self::Http(error)
    }
}
