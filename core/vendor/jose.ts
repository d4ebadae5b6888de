/** The parts of the JWT library that a server with OAuth needs. */
export { createLocalJWKSet, createRemoteJWKSet, errors, type JWTVerifyGetKey, jwtVerify } from 'jose';
