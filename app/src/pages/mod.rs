//! One file for each route. A page fetches data, decides what is shown, and lets components show it.

pub mod account;
pub mod all_artists;
pub mod all_releases;
pub mod audit;
pub mod forgot_password;
pub mod home;
pub mod job;
pub mod jobs;
pub mod lazy_routes;
pub mod not_found;
pub mod operations;
pub mod queue;
pub mod release;
pub mod reset_password;
pub mod review;
pub mod review_queue;
pub mod sign_in;
pub mod sign_in_code;
pub mod sign_up;
pub mod user;
pub mod verify_email;
pub mod wizard;
