//! Throw-away keys, made once for these tests with `openssl genpkey`. They protect nothing, and must sign
//! nothing except tests.

/// THROW-AWAY. PKCS#8 version 1 (RFC 5208), as OpenSSL writes it.
pub(crate) const ED25519_V1: &str = "\
-----BEGIN PRIVATE KEY-----\n\
MC4CAQAwBQYDK2VwBCIEIK4d+GTWGg+12ZWmHDCUMVupXGcIAMYyp3D5Oa7R17dZ\n\
-----END PRIVATE KEY-----\n";

/// THROW-AWAY. The same key in version 2 (RFC 5958), with its public key, as ring writes it.
pub(crate) const ED25519_V2: &str = "\
-----BEGIN PRIVATE KEY-----\n\
MFECAQEwBQYDK2VwBCIEIK4d+GTWGg+12ZWmHDCUMVupXGcIAMYyp3D5Oa7R17dZ\n\
gSEA35XAMNdi4Trkjiddgc6pvg6ws2UUiBXtPxE8Biyka7g=\n\
-----END PRIVATE KEY-----\n";

/// The public key of both.
pub(crate) const ED25519_PUBLIC: &str = "\
-----BEGIN PUBLIC KEY-----\n\
MCowBQYDK2VwAyEA35XAMNdi4Trkjiddgc6pvg6ws2UUiBXtPxE8Biyka7g=\n\
-----END PUBLIC KEY-----\n";

/// THROW-AWAY.
pub(crate) const P256: &str = "\
-----BEGIN PRIVATE KEY-----\n\
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgP35Kh2wySImQJniv\n\
wJ8uV87ozgbqygLRAJtGR9V9u62hRANCAASprqU3nElZJQwEnCYsx1dsaw3hVw+e\n\
SEkf+9VsbCNyvv3HRLOIwOiAm2ygxx844qj0vPwhGmkfl6NDE73WqVuV\n\
-----END PRIVATE KEY-----\n";

/// THROW-AWAY. The same key in SEC 1 form.
pub(crate) const P256_SEC1: &str = "\
-----BEGIN EC PRIVATE KEY-----\n\
MHcCAQEEID9+SodsMkiJkCZ4r8CfLlfO6M4G6soC0QCbRkfVfbutoAoGCCqGSM49\n\
AwEHoUQDQgAEqa6lN5xJWSUMBJwmLMdXbGsN4VcPnkhJH/vVbGwjcr79x0SziMDo\n\
gJtsoMcfOOKo9Lz8IRppH5ejQxO91qlblQ==\n\
-----END EC PRIVATE KEY-----\n";

/// The public key of both.
pub(crate) const P256_PUBLIC: &str = "\
-----BEGIN PUBLIC KEY-----\n\
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqa6lN5xJWSUMBJwmLMdXbGsN4VcP\n\
nkhJH/vVbGwjcr79x0SziMDogJtsoMcfOOKo9Lz8IRppH5ejQxO91qlblQ==\n\
-----END PUBLIC KEY-----\n";

/// THROW-AWAY. Another curve.
pub(crate) const P384: &str = "\
-----BEGIN PRIVATE KEY-----\n\
MIG2AgEAMBAGByqGSM49AgEGBSuBBAAiBIGeMIGbAgEBBDD785PFPeUhauhzk6hZ\n\
Qi1ttLyot2zdWBLIYXd+Vpw1t8cBiB0Y7/zIxA05JWDz6A+hZANiAARfn2snRnbs\n\
1W3+MRtCDJ58gEhvBG8BA/ga+2FAGacU5CaGSsJUdbb49aAvzuCUzbPglLPj8eCD\n\
tdLHYgb8mhWzYQoFJ/QS55O/95hYzEH+U4798nbXa7ph5SnBB8NAb0M=\n\
-----END PRIVATE KEY-----\n";

/// THROW-AWAY. Another curve, with scalars of the same length.
pub(crate) const SECP256K1: &str = "\
-----BEGIN PRIVATE KEY-----\n\
MIGEAgEAMBAGByqGSM49AgEGBSuBBAAKBG0wawIBAQQgmhyX844iOj9REHYuTg0y\n\
72ymeLh3UncMRG6V5yLK0wWhRANCAAQA6aBrjsflr7VDkodSbHqXEPEhuXkZeGAs\n\
8F0hYG6T/I3KYXDNjhQbF1MhPD+ukk9vYa253dxu4ZJKgaNmEXLS\n\
-----END PRIVATE KEY-----\n";

/// THROW-AWAY. Another curve.
pub(crate) const ED448: &str = "\
-----BEGIN PRIVATE KEY-----\n\
MEcCAQAwBQYDK2VxBDsEOXicxjMpwDcD1r3qpwMkOIYM5PwVJLtkmdP71k+o+Hio\n\
B9rknvEEbT7bNlp43aI3dVL/uBr9IHRoHA==\n\
-----END PRIVATE KEY-----\n";

/// THROW-AWAY. For key agreement, not for signatures.
pub(crate) const X25519: &str = "\
-----BEGIN PRIVATE KEY-----\n\
MC4CAQAwBQYDK2VuBCIEICjZ/hS1US9ZmnKelQkPaPM3WZYQQiMV6+UfGf7KZIxD\n\
-----END PRIVATE KEY-----\n";

/// Another curve.
pub(crate) const P384_PUBLIC: &str = "\
-----BEGIN PUBLIC KEY-----\n\
MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAE0LYJB05jzN75mxvPFx/1qJaxs7p0eVbT\n\
dCP2uaIyHan5294FufWHgOcS8sOswGLnpU3CFKAez0FxolwBoF9xcpwdUWYeza4t\n\
XX47U103z2ZtZjeCzuDruv186IFZzl9D\n\
-----END PUBLIC KEY-----\n";

/// THROW-AWAY. The public half of an RSA key of 2048 bits.
pub(crate) const RSA_PUBLIC: &str = "\
-----BEGIN PUBLIC KEY-----\n\
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAuWW3/LIiASOIIaEUoP0W\n\
2s4Ok0kqatEenldmJ8Rj9Z9+4j4BVynCwc9/2guqD4WeX0ztUdSp6zyvvctPo7QT\n\
yVrMbhw8ahDzWzntWEeOyQCkX11vOMHLU4CWUS8zm0Kg3Z3YjB5/SY33An7Kndpg\n\
17JwfavYpi3dlAVD5gwY/SyOM5fJmZVk+sYMWp9payT6l9EJQxUzAaVQhUXXCZrr\n\
TBtNomysVb+ZD4mwT+hyDUGLrxsPyblPU90lhZB5tczTAq06fiR47GyI8qQ1yEJP\n\
qPMO/n5SgaBIFPN90HnCDyUrlwlMi8KBo9bSIBqaEhREs0aRrn/Pv5kP/gEdbKJZ\n\
wwIDAQAB\n\
-----END PUBLIC KEY-----\n";

/// THROW-AWAY. Of 1024 bits.
pub(crate) const RSA_1024_PUBLIC: &str = "\
-----BEGIN PUBLIC KEY-----\n\
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDEKdu1FkYGL1zDrncWkh8Cb7s1\n\
a2TnpsPaVLM1PPYAX59eC2wRH6/AvxrBFM9ed79smYW/kP8mHKFrYqHUrdQb2csR\n\
ShsrYhZLrN13VufpKoauJMDY9PWzvFoLtmDqu7LP5sSFAriUF9aebdScum74KyiP\n\
vHVEcoCh4+3dA9bBZwIDAQAB\n\
-----END PUBLIC KEY-----\n";

/// The signature of `message` by the key [`ED25519_V1`], as OpenSSL made it.
pub(crate) const MESSAGE_ED25519: &str = "\
frB40G8fSGiP2ZWfPsCfP2706lh0KYejKgVsKVcCTFSswHMGSgxT-IPOTs480Ujqde2W0qrRJaqbn15jO7rNCw";

/// The signature of `message` by the key [`P256`], as OpenSSL made it.
pub(crate) const MESSAGE_ES256: &str = "\
YdLBsMf5TXmNW_a5ouypQbkozCUIceb_EWnbxSHGfrjpURKr3fFsg1nRwZRSOyaEdBSjb06mBYUd7czEJ4udAA";

/// The signature of `message` by the key of [`RSA_PUBLIC`], as OpenSSL made it.
pub(crate) const MESSAGE_RS256: &str = "\
InKA6VVvQ0ie986Msapg1z5WuCjxeTcCB2dEtxb9tsagh-XTlmLqlOFh-QF2zjdoQVB-JwWs72KLzBJdVU_7Cmj1L8fr-heAWLyb\
Bvs2DoaZ1_MB0iLwSMSGxgMXhRXFEE_GmyU3CtHPd5fnsUkT7Pg1yzglesEYXDP5OiYvGRLEpK2rcNs9l3_XOi_G1mUM8uD-RiYv\
WJeNOc9viLFGbE3BwlaGarZZ95zSZbNy5RQccp2FwCCrQx0WkbGmz6s9RUkWCHE92ZcJBYnDe5T80D1xpm0eHGt8gaBtRH5pquju\
0zDjJwC3T1D8kyaNsbguIToOlwWkpJHRtbPREo29_g";

/// The signature of `message` by the key of [`RSA_PUBLIC`], as OpenSSL made it.
pub(crate) const MESSAGE_PS256: &str = "\
IKfoJ4_YZUYoBuRbKAXSAqto8RkFuQT-pBLswvcaVKJDXYRd_b85wsPspB3YKUqY-wfvsY9eLDC-aDHI6xoUMIvG0OI7ra7gBA0T\
uejcnlMg45nERXAAJLg-x9aJsX7IfGIYJukaV6JJBstYBGmHYAUA_7fGSOXEJLaWZLN6lQYsdxQz1V-opj7dR_lCBLIJme4m409b\
cPa9h9TtPHvW-MkgZlsb1aJGeE_jfcgs01BGlhq7e97RUJy1n0onDanCwuLAwMBy1-jhXdTR_pWTegqvf307vB75-TzGS4PYFuL0\
BBTOowGnDA2TlUFRAaZS9h_XYmPoP98usDftgq0DAg";
