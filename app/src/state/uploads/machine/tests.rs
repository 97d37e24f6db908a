use uuid::Uuid;
use vwaza::domain::ids::UploadId;

use super::*;

fn reply(status: u16, offset: Option<u64>) -> Reply {
    Reply { status, is_ours: true, offset, message: None }
}

fn of_a_proxy(status: u16) -> TransferStep {
    after_reply(&Reply { is_ours: false, ..reply(status, None) }, 10)
}

#[test]
fn bytes_are_sent_until_the_server_has_them_all() {
    assert_eq!(after_reply(&reply(204, Some(8)), 10), TransferStep::SendFrom { offset: 8 });
    assert_eq!(after_reply(&reply(204, Some(10)), 10), TransferStep::AllSent);
    assert_eq!(after_reply(&reply(200, Some(0)), 10), TransferStep::SendFrom { offset: 0 });
}

#[test]
fn after_trouble_the_server_says_how_much_it_has() {
    for status in [0, 400, 408, 423, 429, 500, 502, 503, 504, 507] {
        assert_eq!(
            after_reply(&reply(status, None), 10),
            TransferStep::AskOffset { backoff: Backoff::Exponential, reason: None },
            "{status}"
        );
    }
    assert_eq!(after_reply(&reply(409, None), 10), TransferStep::AskOffset { backoff: Backoff::None, reason: None });
}

#[test]
fn a_proxys_answer_says_nothing_about_the_file() {
    assert_eq!(of_a_proxy(413), TransferStep::ShrinkChunk);
    for status in [200, 204, 302, 401, 403, 407, 511] {
        let TransferStep::Fail(words) = of_a_proxy(status) else { panic!("{status}") };
        assert!(words.contains("instead of Vwaza") && words.contains("sign in"), "{status}: {words}");
    }
    for status in [405, 411, 415, 422, 501] {
        let TransferStep::Fail(words) = of_a_proxy(status) else { panic!("{status}") };
        assert!(words.contains("in front of Vwaza") && !words.contains("sign in"), "{status}: {words}");
    }
    for status in [400, 404, 408, 409, 410, 429, 460, 500, 502, 503, 504, 520, 530] {
        let TransferStep::AskOffset { backoff: Backoff::Exponential, reason: Some(reason) } = of_a_proxy(status) else {
            panic!("{status}")
        };
        assert!(reason.contains("can't be reached"), "{status}: {reason}");
    }
    // Status 0 stands for a broken connection, which brings no answer.
    assert_eq!(of_a_proxy(0), TransferStep::AskOffset { backoff: Backoff::Exponential, reason: None });
}

#[test]
fn chunks_get_smaller_down_to_what_any_proxy_takes() {
    let sizes: Vec<u64> = std::iter::successors(Some(CHUNK_BYTES), |bytes| smaller_chunk(*bytes)).collect();
    assert_eq!(sizes.len(), 6);
    assert_eq!(sizes.last(), Some(&(256 * 1024)));
}

#[test]
fn what_is_gone_begins_again_and_who_is_gone_signs_in() {
    assert_eq!(after_reply(&reply(404, None), 10), TransferStep::Gone);
    assert_eq!(after_reply(&reply(410, None), 10), TransferStep::Gone);
    assert_eq!(after_reply(&reply(401, None), 10), TransferStep::SignIn);
    assert_eq!(after_create_error(&AppError::new(401, "")), CreateStep::SignIn);
}

#[test]
fn who_is_signed_out_once_all_bytes_are_with_us_loses_nothing_by_leaving() {
    assert!(TaskState::SignedOut(Progress::default()).has_unsent_bytes());
    assert!(!TaskState::StoringSignedOut.has_unsent_bytes());
    assert_eq!(TaskState::StoringSignedOut.progress(), None);
    assert!(!TaskState::StoringSignedOut.can_resume(), "it goes on by itself");
}

#[test]
fn a_refusal_carries_the_servers_sentence() {
    let refusal = Reply { message: Some("This is a video.".into()), ..reply(422, None) };
    assert_eq!(after_reply(&refusal, 10), TransferStep::Refuse("This is a video.".into()));
    for status in [400, 403, 404, 409, 410, 413, 415, 422] {
        let refused = after_create_error(&AppError::new(status, "Too large."));
        assert_eq!(refused, CreateStep::Refuse("Too large.".into()), "{status}");
    }
    for status in [0, 408, 423, 429, 500, 502, 503, 504, 507] {
        let delayed = after_create_error(&AppError::new(status, "Down."));
        assert_eq!(delayed, CreateStep::RetryLater { reason: "Down.".into() }, "{status}");
    }
}

#[test]
fn a_received_file_is_waited_for_until_it_is_attached_or_not() {
    let status = |state| UploadStatus {
        id: UploadId(Uuid::nil()),
        state,
        status_code: 200,
        message: "Words.".into(),
        sha256: None,
    };
    assert_eq!(after_status(&status(UploadState::Received)), StoredStep::PollAgain);
    assert_eq!(after_status(&status(UploadState::Attached)), StoredStep::Done);
    assert_eq!(after_status(&status(UploadState::Superseded)), StoredStep::Done);
    assert_eq!(after_status(&status(UploadState::Refused)), StoredStep::Refuse("Words.".into()));
    assert_eq!(after_status(&status(UploadState::Failed)), StoredStep::Dismiss);
    assert_eq!(after_status(&status(UploadState::Expired)), StoredStep::CreateAgain);
    assert_eq!(after_gone(&status(UploadState::Receiving)), StoredStep::CreateAgain);
    assert_eq!(after_gone(&status(UploadState::Refused)), StoredStep::Refuse("Words.".into()));
}

#[test]
fn nobody_hears_of_a_broken_connection_once_all_bytes_are_with_us() {
    for status in [0, 408, 423, 429, 500, 502, 503, 504, 507] {
        assert_eq!(after_status_error(&AppError::new(status, "Down.")), StoredStep::PollAgain, "{status}");
    }
    assert_eq!(after_status_error(&AppError::new(401, "")), StoredStep::SignIn);
    assert_eq!(after_status_error(&AppError::new(404, "Words.")), StoredStep::Refuse("Words.".into()));
}

#[test]
fn pauses_grow_to_a_minute() {
    let pauses: Vec<i32> = (1..=8).map(|failures| backoff_ms(failures, 1.0)).collect();
    assert_eq!(pauses, [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
    assert_eq!(backoff_ms(1, 0.0), 500);
    assert_eq!(backoff_ms(u32::MAX, 1.0), 60_000);
}
