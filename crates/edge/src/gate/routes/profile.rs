//! Profiles and the search for users.

use super::*;
use crate::gate::address::ClientAddress;
use crate::gate::auth;
use crate::gate::rates::Limit;
use axum::http::header;
use axum::response::{AppendHeaders, IntoResponse, Response};
use dto::account::{Profile, ProfileChange, ProfilesPage};
use skein_domain::command::{Command, Reply, SearchBy};

const UIDS_MAX: usize = 100;

pub(super) fn routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::default().routes(routes!(own_profile, change_profile)).routes(routes!(profiles)).routes(routes!(search))
}

/// My profile
///
/// With a cookie, also renews it, so that it lives as long as its session.
#[utoipa::path(get, path = "/profile", tag = "profile", responses((status = 200, body = Profile)))]
async fn own_profile(state: SharedState, who: Authenticated, from: ClientAddress) -> Result<Response, Problem> {
    let cookie = if who.by_cookie { Some((header::SET_COOKIE, auth::set_cookie(&who.secret, from.https)?)) } else { None };
    let uid = who.session.uid;
    let reply = state.call(who.caller, Command::GetProfiles { uids: vec![uid] }).await?;
    let profile = one_profile(reply)?;
    Ok((AppendHeaders(cookie), profile).into_response())
}

/// Change my profile
#[utoipa::path(patch, path = "/profile", tag = "profile", request_body = ProfileChange, responses((status = 200, body = Profile)))]
async fn change_profile(state: SharedState, who: Authenticated, Json(change): Json<ProfileChange>) -> Answer<Profile> {
    one_profile(state.call(who.caller, Command::ChangeProfile { change: change.into() }).await?)
}

fn one_profile(reply: Reply) -> Answer<Profile> {
    let mut profiles = expect_reply!(reply, Reply::Profiles { profiles, .. } => profiles)?;
    profiles.pop().map(|profile| Json(profile.into())).ok_or_else(Problem::unexpected_reply)
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ProfilesQuery {
    /// 1 to 100 uids with commas between them.
    #[param(example = "1,2")]
    uids: String,
}

/// Profiles by uid
#[utoipa::path(get, path = "/profiles", tag = "profile", params(ProfilesQuery), responses((status = 200, body = ProfilesPage)))]
async fn profiles(state: SharedState, who: Authenticated, Parameters(query): Parameters<ProfilesQuery>) -> Answer<ProfilesPage> {
    let uids: Option<Vec<_>> = query.uids.split(',').map(|uid| uid.trim().parse().ok().map(skein_domain::id::Uid)).collect();
    let uids = uids
        .filter(|uids| uids.len() <= UIDS_MAX)
        .ok_or_else(|| Problem::bad_request("uids is 1 to 100 whole numbers with commas between them"))?;
    profiles_page(state.call(who.caller, Command::GetProfiles { uids }).await?)
}

fn profiles_page(reply: Reply) -> Answer<ProfilesPage> {
    expect_reply!(reply, Reply::Profiles { profiles, cursor } => {
        Json(ProfilesPage { profiles: profiles.into_iter().map(Profile::from).collect(), cursor })
    })
}

/// Exactly one of `uid`, `email` and `nickname`.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct SearchQuery {
    /// Exact.
    uid: Option<Int64>,
    /// Exact; finds only users who allow it.
    email: Option<String>,
    /// Beginning of a nickname, 2 characters and more.
    nickname: Option<String>,
    /// From the page before; empty: from the beginning.
    #[serde(default)]
    cursor: String,
}

/// Find users by uid, exact e-mail address, or the beginning of a nickname
#[utoipa::path(get, path = "/search", tag = "profile", params(SearchQuery), responses((status = 200, body = ProfilesPage)))]
async fn search(
    state: SharedState,
    who: Authenticated,
    from: ClientAddress,
    Parameters(query): Parameters<SearchQuery>,
) -> Answer<ProfilesPage> {
    state.limits.take(Limit::Search, from.ip)?;
    let by = match (query.uid, query.email, query.nickname) {
        (Some(uid), None, None) => SearchBy::Uid(uid.into()),
        (None, Some(email), None) => SearchBy::Email(email),
        (None, None, Some(nickname)) => SearchBy::NicknamePrefix(nickname),
        _ => return Err(Problem::bad_request("search by exactly one of uid, email and nickname")),
    };
    profiles_page(state.call(who.caller, Command::Search { by, cursor: query.cursor }).await?)
}
