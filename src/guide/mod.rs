//! The guide: short pages, each for one task. The tests of this crate compile every Rust sample, and run most of them.
//!
//! The samples use axum with its feature `macros` (for `derive(FromRef)`). If a page needs other features, it says so.
//!
//! Start with the [quick start](quick_start). The [manual](crate::manual) is for reference: defaults, threats,
//! events, stores, deployment, scaling and performance.
//!
//! | you want to | page |
//! |---|---|
//! | protect a first route | [quick start](quick_start) |
//! | show a sign-in page, and then the requested page | [login form](login_form) |
//! | answer API requests with 401 and JSON, and redirect page visits | [JSON API](json_api) |
//! | keep users signed in for weeks | ["remember me"](remember_me) |
//! | have stricter rules for some routes | [route groups](route_groups) |
//! | change roles, lock users | [roles] |
//! | show a "your devices" page, sign out everywhere | [devices] |
//! | revoke other sessions after a password change | [password change](password_change) |
//! | ask for the password or a second factor again | [step-up](step_up) |
//! | serve event streams and WebSockets, and shut down gracefully | [streams] |
//! | write a front end: React, Vue, htmx | [single-page application](spa) |
//! | sign in through Google, Keycloak or Entra ID (OpenID Connect) | [single sign-on](single_sign_on) |
//! | keep the tokens that Google, GitHub or Facebook gave to a user | [provider tokens](provider_tokens) |
//! | serve mobile apps and API clients | [phones] |
//! | call another service for the user | [tokens for other services](service_tokens) |
//! | verify tokens in a service that has no secret | [services that only verify](verifying_services) |
//! | test your application | [testing] |
//! | run more than one instance | [several instances](several_instances) |
//! | run behind nginx, a load balancer or a CDN | [proxies] |
//! | make copied cookies useless after a few minutes | [device-bound sessions](device_bound) |
//! | hide the contents of the cookies | [encrypted cookies](encrypted_cookies) |
//! | change the signing key | [key rotation](key_rotation) |
//! | restore the store from a backup | [restored backup](restored_backup) |
//! | let an identity provider or an incident tool sign users out | [outside signals](outside_signals) |
//! | revoke all sessions, or withdraw a leaked key | [emergency] |
//! | find out why a request was refused | [troubleshooting] |
//! | compare with plain sessions, understand the tokens | [questions] |
//! | compare the crate with OWASP ASVS, RFC 9700 and NIST SP 800-63B | [security] |

#[doc(alias = "getting started")]
#[doc(alias = "tutorial")]
#[doc(alias = "hello world")]
#[doc(alias = "authentication")]
#[doc = include_str!("quick_start.md")]
pub mod quick_start {}

#[doc(alias = "redirect to login")]
#[doc(alias = "return path")]
#[doc(alias = "return_to")]
#[doc(alias = "next parameter")]
#[doc(alias = "open redirect")]
#[doc(alias = "redirect after login")]
#[doc = include_str!("login_form.md")]
pub mod login_form {}

#[doc(alias = "REST")]
#[doc(alias = "401")]
#[doc(alias = "Sec-Fetch-Dest")]
#[doc(alias = "problem details")]
#[doc(alias = "CORS")]
#[doc = include_str!("json_api.md")]
pub mod json_api {}

#[doc(alias = "keep me signed in")]
#[doc(alias = "stay logged in")]
#[doc(alias = "persistent cookie")]
#[doc(alias = "Max-Age")]
#[doc = include_str!("remember_me.md")]
pub mod remember_me {}

#[doc(alias = "admin area")]
#[doc(alias = "sudo mode")]
#[doc(alias = "idle timeout per route")]
#[doc(alias = "two session layers")]
#[doc = include_str!("route_groups.md")]
pub mod route_groups {}

#[doc(alias = "authorization")]
#[doc(alias = "RBAC")]
#[doc(alias = "permissions")]
#[doc(alias = "claims update")]
#[doc(alias = "disable user")]
#[doc(alias = "ban")]
#[doc(alias = "phone number")]
#[doc(alias = "lock user")]
#[doc = include_str!("roles.md")]
pub mod roles {}

#[doc(alias = "your devices")]
#[doc(alias = "active sessions")]
#[doc(alias = "sign out everywhere")]
#[doc(alias = "logout all devices")]
#[doc(alias = "concurrent sessions")]
#[doc(alias = "another device")]
#[doc(alias = "log out everywhere")]
#[doc(alias = "device list")]
#[doc = include_str!("devices.md")]
pub mod devices {}

#[doc(alias = "change password")]
#[doc(alias = "reset password")]
#[doc(alias = "invalidate sessions")]
#[doc = include_str!("password_change.md")]
pub mod password_change {}

#[doc(alias = "re-authentication")]
#[doc(alias = "reauthenticate")]
#[doc(alias = "2FA")]
#[doc(alias = "MFA")]
#[doc(alias = "TOTP")]
#[doc(alias = "passkey")]
#[doc(alias = "auth_time")]
#[doc(alias = "amr")]
#[doc(alias = "sudo mode")]
#[doc = include_str!("step_up.md")]
pub mod step_up {}

#[doc(alias = "OpenID Connect")]
#[doc(alias = "OIDC")]
#[doc(alias = "SSO")]
#[doc(alias = "social login")]
#[doc(alias = "sign in with Google")]
#[doc(alias = "Keycloak")]
#[doc(alias = "single logout")]
#[doc(alias = "back-channel logout")]
#[doc(alias = "sso")]
#[doc(alias = "single sign on")]
#[doc(alias = "single sign-on")]
#[doc(alias = "oidc")]
#[doc = include_str!("single_sign_on.md")]
pub mod single_sign_on {}

#[doc(alias = "upstream token")]
#[doc(alias = "GitHub")]
#[doc(alias = "Facebook")]
#[doc(alias = "long-lived token")]
#[doc(alias = "token vault")]
#[doc(alias = "encrypted tokens")]
#[doc = include_str!("provider_tokens.md")]
pub mod provider_tokens {}

#[doc(alias = "DBSC")]
#[doc(alias = "token binding")]
#[doc(alias = "cookie theft")]
#[doc(alias = "Device Bound Session Credentials")]
#[doc(alias = "copied cookies")]
#[doc(alias = "infostealer")]
#[doc(alias = "TPM")]
#[doc = include_str!("device_bound.md")]
pub mod device_bound {}

#[doc(alias = "SSE")]
#[doc(alias = "server-sent events")]
#[doc(alias = "WebSocket")]
#[doc(alias = "graceful shutdown")]
#[doc(alias = "EventSource")]
#[doc = include_str!("streams.md")]
pub mod streams {}

#[doc(alias = "single-page application")]
#[doc(alias = "React")]
#[doc(alias = "localStorage")]
#[doc(alias = "fetch")]
#[doc(alias = "BFF")]
#[doc(alias = "front end")]
#[doc(alias = "local storage")]
#[doc(alias = "profile")]
#[doc = include_str!("spa.md")]
pub mod spa {}

#[doc(alias = "mobile app")]
#[doc(alias = "API client")]
#[doc(alias = "API token")]
#[doc(alias = "bearer token")]
#[doc(alias = "refresh endpoint")]
#[doc(alias = "device code")]
#[doc(alias = "refresh_token_expires_in")]
#[doc(alias = "RFC 8628")]
#[doc = include_str!("phones.md")]
pub mod phones {}

#[doc(alias = "RFC 9068")]
#[doc(alias = "access token for another service")]
#[doc(alias = "audience")]
#[doc(alias = "microservices")]
#[doc(alias = "PyJWT")]
#[doc(alias = "jose")]
#[doc(alias = "scope")]
#[doc = include_str!("service_tokens.md")]
pub mod service_tokens {}

#[doc(alias = "resource server")]
#[doc(alias = "JWKS")]
#[doc(alias = "public key")]
#[doc(alias = "microservices")]
#[doc(alias = "jwks")]
#[doc = include_str!("verifying_services.md")]
pub mod verifying_services {}

#[doc(alias = "integration test")]
#[doc(alias = "unit test")]
#[doc(alias = "mock session")]
#[doc(alias = "oneshot")]
#[doc(alias = "fake clock")]
#[doc(alias = "cookie jar")]
#[doc(alias = "reqwest")]
#[doc(alias = "manual clock")]
#[doc = include_str!("testing.md")]
pub mod testing {}

#[doc(alias = "horizontal scaling")]
#[doc(alias = "cluster")]
#[doc(alias = "sticky sessions")]
#[doc(alias = "load balancing")]
#[doc(alias = "shared sessions")]
#[doc(alias = "single point of failure")]
#[doc = include_str!("several_instances.md")]
pub mod several_instances {}

#[doc(alias = "reverse proxy")]
#[doc(alias = "nginx")]
#[doc(alias = "HAProxy")]
#[doc(alias = "Caddy")]
#[doc(alias = "CDN")]
#[doc(alias = "X-Forwarded-For")]
#[doc(alias = "X-Forwarded-Proto")]
#[doc = include_str!("proxies.md")]
pub mod proxies {}

#[doc(alias = "JWE")]
#[doc(alias = "RFC 7516")]
#[doc(alias = "encrypt cookies")]
#[doc(alias = "encrypted JWT")]
#[doc(alias = "privacy")]
#[doc = include_str!("encrypted_cookies.md")]
pub mod encrypted_cookies {}

#[doc(alias = "rotate keys")]
#[doc(alias = "kid")]
#[doc(alias = "JWT secret")]
#[doc = include_str!("key_rotation.md")]
pub mod key_rotation {}

#[doc(alias = "disaster recovery")]
#[doc(alias = "snapshot")]
#[doc(alias = "backup")]
#[doc = include_str!("restored_backup.md")]
pub mod restored_backup {}

#[doc(alias = "CAEP")]
#[doc(alias = "RISC")]
#[doc(alias = "shared signals")]
#[doc(alias = "security event token")]
#[doc(alias = "global token revocation")]
#[doc(alias = "universal logout")]
#[doc(alias = "RFC 8935")]
#[doc = include_str!("outside_signals.md")]
pub mod outside_signals {}

#[doc(alias = "kill switch")]
#[doc(alias = "incident response")]
#[doc(alias = "leaked key")]
#[doc(alias = "run ID")]
#[doc(alias = "revoke all tokens")]
#[doc = include_str!("emergency.md")]
pub mod emergency {}

#[doc(alias = "401 Unauthorized")]
#[doc(alias = "403 Forbidden")]
#[doc(alias = "500")]
#[doc(alias = "503")]
#[doc(alias = "login does not work")]
#[doc(alias = "cookie not set")]
#[doc(alias = "Secure cookie localhost")]
#[doc(alias = "session lost")]
#[doc = include_str!("troubleshooting.md")]
pub mod troubleshooting {}

#[doc(alias = "FAQ")]
#[doc(alias = "axum-login")]
#[doc(alias = "back-channel logout")]
#[doc(alias = "blacklist of token IDs")]
#[doc(alias = "do I need JWTs")]
#[doc(alias = "end_session_endpoint")]
#[doc(alias = "front end profile")]
#[doc(alias = "impersonate")]
#[doc(alias = "invalidate a token")]
#[doc(alias = "invalidate token")]
#[doc(alias = "invalidate token on another device")]
#[doc(alias = "jti")]
#[doc(alias = "JWT or session")]
#[doc(alias = "JWT vs session")]
#[doc(alias = "long lived token")]
#[doc(alias = "migration")]
#[doc(alias = "one instance or several")]
#[doc(alias = "password changes")]
#[doc(alias = "payload changes")]
#[doc(alias = "plain session")]
#[doc(alias = "profile before render")]
#[doc(alias = "provider token")]
#[doc(alias = "refresh token change")]
#[doc(alias = "refresh token when password changes")]
#[doc(alias = "reissue")]
#[doc(alias = "run ID with blacklist")]
#[doc(alias = "single logout")]
#[doc(alias = "single point of failure")]
#[doc(alias = "sliding by reissue")]
#[doc(alias = "store in localStorage")]
#[doc(alias = "token blacklist")]
#[doc(alias = "token content")]
#[doc(alias = "tower-sessions")]
#[doc(alias = "what is in the token")]
#[doc(alias = "which tokens when")]
#[doc(alias = "who can verify the token")]
#[doc(alias = "sliding expiration")]
#[doc(alias = "payload")]
#[doc(alias = "re-issue")]
#[doc(alias = "Google")]
#[doc(alias = "Facebook")]
#[doc(alias = "what is in each token")]
#[doc(alias = "OpenID")]
#[doc = include_str!("questions.md")]
pub mod questions {}

#[doc(alias = "OWASP")]
#[doc(alias = "ASVS")]
#[doc(alias = "NIST 800-63B")]
#[doc(alias = "RFC 9700")]
#[doc(alias = "RFC 10017")]
#[doc(alias = "compliance")]
#[doc(alias = "audit")]
#[doc(alias = "threat model")]
#[doc = include_str!("security.md")]
pub mod security {}
