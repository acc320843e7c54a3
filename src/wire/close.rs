//! [`Close`]: how the server ends a socket, by code and reason (RFC 6455).

/// The code of a Close frame, and the reason in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Close {
    /// As RFC 6455 numbers them.
    pub code: u16,
    /// For the developer.
    pub reason: &'static str,
}

impl Close {
    /// The server stops.
    pub const STOPPING: Self = Self { code: 1001, reason: "server stopping" };
    /// The session ended.
    pub const ENDED: Self = Self { code: 1001, reason: "session ended" };
    /// The browser sent what is not WebSocket.
    pub const PROTOCOL: Self = Self { code: 1002, reason: "not a valid WebSocket frame" };
    /// The browser sent text that is not UTF-8.
    pub const NOT_TEXT: Self = Self { code: 1007, reason: "text must be UTF-8" };
    /// What the browser sends takes more memory than it may.
    pub const TOO_MUCH: Self = Self { code: 1008, reason: "more than session.budget.browser" };
    /// The browser sent a frame that is too large.
    pub const TOO_LARGE: Self = Self { code: 1009, reason: "the frame is larger than server.max_frame" };
    /// The browser does not take what it is sent, and there is no memory left to hold it.
    pub const UNREAD: Self = Self { code: 1013, reason: "session.budget.browser is used up" };
    /// The session has as many sockets as it may.
    pub const SOCKETS: Self = Self { code: 1013, reason: "more sockets than session.sockets" };
}
