//! Sends the requests of one form one at a time, so that the last input is saved last. The queue outlives the form,
//! because a form can be left and opened again while its requests are on their way.

use std::{cell::RefCell, collections::HashMap, rc::Rc};

use futures::lock::Mutex;
use leptos::server_fn::ServerFn;
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;
use vwaza::domain::release::ReleaseView;

use super::unsaved_warning::UnsavedWarning;
use crate::error::{ApiResult, AppError};

thread_local! {
    /// The queues, by the release or track that the form is about.
    static FORM_QUEUES: RefCell<HashMap<Uuid, FormQueue>> = RefCell::default();
}

#[derive(Clone, Default)]
pub(super) struct FormQueue {
    /// Held while a request is on its way.
    in_flight: Rc<Mutex<()>>,
    left: Rc<RefCell<LeftState>>,
}

#[derive(Default)]
struct LeftState {
    /// Grows whenever the form is opened, or left with something to send. The holder of an older number sends nothing
    /// any more.
    owner: u64,
    /// The content of the form when it was left, until it is saved or shown in the form again.
    form: Option<serde_json::Value>,
    /// The warning exists while the form is sent and nobody has it open.
    warning: Option<UnsavedWarning>,
}

/// A form that was left with something to send.
#[derive(Clone)]
pub(super) struct LeftForm {
    queue: FormQueue,
    owner: u64,
}

impl FormQueue {
    /// Returns the queue of the form about `subject`. This is for browsers only, because a server's threads serve
    /// everybody.
    pub(super) fn of(subject: Uuid) -> Self {
        FORM_QUEUES.with_borrow_mut(|queues| queues.entry(subject).or_default().clone())
    }

    /// Takes back the input that was not saved yet when the form was last left. From now on only the form sends it.
    pub(super) fn restore<S: DeserializeOwned>(subject: Uuid) -> Option<S> {
        if cfg!(feature = "ssr") {
            return None;
        }
        let queue = Self::of(subject);
        let mut left = queue.left.borrow_mut();
        left.owner += 1;
        left.warning = None;
        serde_json::from_value(left.form.take()?).ok()
    }

    pub(super) async fn send<S>(self, form: S) -> ApiResult<ReleaseView>
    where
        S: ServerFn<Output = ReleaseView, Error = AppError>,
    {
        let _in_flight = self.in_flight.lock().await;
        form.run_on_client().await
    }

    pub(super) fn leave(self, form: &impl Serialize) -> LeftForm {
        let mut left = self.left.borrow_mut();
        left.owner += 1;
        left.form = serde_json::to_value(form).ok();
        left.warning = Some(UnsavedWarning::new());
        let owner = left.owner;
        drop(left);
        LeftForm { queue: self, owner }
    }
}

impl LeftForm {
    /// Sends the form. Returns `None` once the form is open again.
    pub(super) async fn send<S>(&self, form: S) -> Option<ApiResult<ReleaseView>>
    where
        S: ServerFn<Output = ReleaseView, Error = AppError>,
    {
        let _in_flight = self.queue.in_flight.lock().await;
        if !self.is_owner() {
            return None;
        }
        Some(form.run_on_client().await)
    }

    /// Whether the form has not been opened since.
    pub(super) fn is_owner(&self) -> bool {
        self.queue.left.borrow().owner == self.owner
    }

    /// Ends the sending: the form is saved, or its release or track is gone.
    pub(super) fn mark_saved(self) {
        if self.is_owner() {
            self.queue.left.borrow_mut().form = None;
        }
        self.give_up();
    }

    /// Stops the sending. When the form is opened again, it shows what was typed.
    pub(super) fn give_up(self) {
        if self.is_owner() {
            self.queue.left.borrow_mut().warning = None;
        }
    }
}
