//! What a redirect asks for, after RFC 9110 section 15.4 and what browsers do.

use http::header::{self, HeaderMap};
use http::{Method, StatusCode};

use crate::headers::sensitive;
use crate::policy::Site;
use crate::{HttpError, Request};

/// Makes the request that a response redirects to out of the one that it answers. `false`: it is no redirect, and the
/// request is as it was.
///
/// 301 and 302 make GET of POST, 303 makes GET of everything but HEAD, 307 and 308 change neither method nor body. To
/// another origin go no headers that are [`sensitive`] (among them `authorization` and `cookie`). Whether the new
/// request is allowed is for the policy to say.
pub(crate) fn follow(request: &mut Request, status: StatusCode, headers: &HeaderMap) -> Result<bool, HttpError> {
    let to_get = match status.as_u16() {
        301 | 302 => request.method == Method::POST,
        303 => request.method != Method::HEAD,
        307 | 308 => false,
        _ => return Ok(false),
    };
    let Some(location) = headers.get(header::LOCATION) else { return Ok(false) };
    let site = Site::of(&request.url)?;
    let target = std::str::from_utf8(location.as_bytes()).ok().and_then(|location| request.url.join(location).ok());
    let Some(mut target) = target else {
        return Err(HttpError::Protocol {
            site: site.to_string(),
            reason: "it redirects to something that is not a URL".to_owned(),
        });
    };
    target.set_fragment(None);
    let to =
        Site::of(&target).map_err(|error| HttpError::Redirected { from: site.to_string(), error: Box::new(error) })?;
    if site.https && !to.https {
        return Err(HttpError::InsecureRedirect { site: site.to_string(), to: to.to_string() });
    }
    if request.url.origin() != target.origin() {
        let secret: Vec<_> = request.headers.keys().filter(|name| sensitive(name)).cloned().collect();
        for name in secret {
            request.headers.remove(name);
        }
    }
    if to_get {
        request.method = Method::GET;
        request.body.clear();
        for name in [header::CONTENT_TYPE, header::CONTENT_ENCODING, header::CONTENT_LANGUAGE, header::CONTENT_LOCATION]
        {
            request.headers.remove(name);
        }
    }
    request.url = target;
    Ok(true)
}
