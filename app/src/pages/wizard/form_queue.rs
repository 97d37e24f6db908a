//! What is sent of one form, from whichever of its lives: one at a time, so that the last word is what was typed last.

use std::{cell::RefCell, collections::HashMap, rc::Rc};

use futures::lock::Mutex;
use leptos::server_fn::ServerFn;
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;
use vwaza::domain::release::ReleaseView;

use super::unsaved_warning::UnsavedWarning;
use crate::error::{ApiResult, AppError};

thread_local! {
    /// By the release or track that the form is about; outside of the form, which is left and opened again while what it sent is on its way.
    static FORM_QUEUES: RefCell<HashMap<Uuid, FormQueue>> = RefCell::default();
}

#[derive(Clone, Default)]
pub(super) struct FormQueue {
    /// Held while something is on its way.
    in_flight: Rc<Mutex<()>>,
    left: Rc<RefCell<LeftState>>,
}

#[derive(Default)]
struct LeftState {
    /// Grows whenever the form is opened, and when it is left with something to send: who holds an older number sends nothing any more.
    owner: u64,
    /// What the form held when it was left, until it is saved or stands in the form again.
    form: Option<serde_json::Value>,
    /// For as long as the form is sent while nobody has it open.
    warning: Option<UnsavedWarning>,
}

/// A form that was left and still has something to say.
#[derive(Clone)]
pub(super) struct LeftForm {
    queue: FormQueue,
    owner: u64,
}

impl FormQueue {
    /// In a browser only: a server's threads serve everybody.
    pub(super) fn of(subject: Uuid) -> Self {
        FORM_QUEUES.with_borrow_mut(|queues| queues.entry(subject).or_default().clone())
    }

    /// What was typed when the form was last left and is not saved yet: it goes on from there, and nobody else sends it.
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
        let _turn = self.in_flight.lock().await;
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
    /// `None` once the form is open again.
    pub(super) async fn send<S>(&self, form: S) -> Option<ApiResult<ReleaseView>>
    where
        S: ServerFn<Output = ReleaseView, Error = AppError>,
    {
        let _turn = self.queue.in_flight.lock().await;
        if !self.is_owner() {
            return None;
        }
        Some(form.run_on_client().await)
    }

    /// Whether the form has not been opened since.
    pub(super) fn is_owner(&self) -> bool {
        self.queue.left.borrow().owner == self.owner
    }

    /// It is saved, or there is nothing left that it is about.
    pub(super) fn mark_saved(self) {
        if self.is_owner() {
            self.queue.left.borrow_mut().form = None;
        }
        self.give_up();
    }

    /// Nothing is sent before the form is opened again, where it still stands.
    pub(super) fn give_up(self) {
        if self.is_owner() {
            self.queue.left.borrow_mut().warning = None;
        }
    }
}
