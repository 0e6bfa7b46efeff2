//! Two tasks on one transport: the halves of a split socket may be polled by different tasks, but a transport keeps
//! only the last waker for reading and the last one for writing. So whichever task polls leaves a waker for both.
//! ```text
//! task that sends ─────► poll_write ┐                          ┌──► task that sends
//!                                   ├──► transport ──► waker ──┤
//! task that receives ──► poll_write ┘                          └──► task that receives
//! ```

use std::{
    sync::Arc,
    task::{Wake, Waker},
};

/// What a task does with the socket.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Half {
    Receive,
    Send,
}

/// The tasks that wait, at most one per half.
#[derive(Debug, Default)]
pub(crate) struct Wakers {
    receive: Option<Waker>,
    send: Option<Waker>,
}

impl Wakers {
    /// What the transport should wake when the task of `own` polls for `half`; `None` when that is `own` alone.
    #[inline]
    pub(crate) fn both(&self, half: Half, own: &Waker) -> Option<Waker> {
        let other = match half {
            Half::Receive => &self.send,
            Half::Send => &self.receive,
        };
        let other = other.as_ref().filter(|other| !other.will_wake(own))?;
        Some(Arc::new(Both(own.clone(), other.clone())).into())
    }

    /// The task of `own` polled for `half`, and waits for it if that is `pending`.
    #[inline]
    pub(crate) fn polled(&mut self, half: Half, own: &Waker, pending: bool) {
        if pending {
            self.wait(half, own);
        } else {
            *self.slot(half) = None;
        }
    }

    fn wait(&mut self, half: Half, own: &Waker) {
        let slot = self.slot(half);
        if !slot.as_ref().is_some_and(|waker| waker.will_wake(own)) {
            *slot = Some(own.clone());
        }
    }

    /// Wakes the task that waits for `half`.
    pub(crate) fn wake(&mut self, half: Half) {
        if let Some(waker) = self.slot(half).take() {
            waker.wake();
        }
    }

    const fn slot(&mut self, half: Half) -> &mut Option<Waker> {
        match half {
            Half::Receive => &mut self.receive,
            Half::Send => &mut self.send,
        }
    }
}

struct Both(Waker, Waker);

impl Wake for Both {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.wake_by_ref();
        self.1.wake_by_ref();
    }
}
