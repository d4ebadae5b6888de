/** A release of Qubes OS, by the Admin API it speaks. */
export type Api = '4.2' | '4.3' | '4.4';
