import type { Api } from './api.js';
import { errors } from './errors.js';

/** Checks the shape of a qube's name in the daemon's order, because it reports the first failure. */
export function validateName(name: string, api: Api = '4.4'): void {
  if (name.length > 31) throw errors.value('VM name must be shorter than 32 characters');
  if (api !== '4.2' && /^[0-9_.-]/.test(name)) {
    throw errors.value('VM name cannot start with hyphen, underscore, dot or numbers');
  }
  const shape = api === '4.2' ? /^[a-zA-Z][a-zA-Z0-9_-]*$/ : /^[a-zA-Z][a-zA-Z0-9_.-]*$/;
  if (!shape.test(name)) {
    throw errors.value('VM name contains illegal characters');
  }
  if (name === 'Domain-0') throw errors.value("VM name cannot be 'Domain-0'");
  if (name === 'none' || name === 'default') throw errors.value("VM name cannot be 'none' nor 'default'");
  if (name.endsWith('-dm')) throw errors.value('VM name cannot end with -dm');
}

export function validateLabelName(label: string, creating = false): void {
  if (label === '') throw errors.badLabel('Label name must be set');
  if (creating && /^\d+$/.test(label)) throw errors.badLabel('Label must not be a digit');
  if (!/^[A-Za-z0-9._-]+$/.test(label)) {
    throw errors.badLabel(`Label must be in safe set: ${LETTERS}0123456789-_.`);
  }
}

export function validateTag(tag: string, api: Api): void {
  if (tag === '' && api === '4.4') throw errors.badTag('tag cannot be empty');
  if (!/^[A-Za-z0-9_-]*$/.test(tag)) throw errors.badTag('disallowed characters');
}

export const LETTERS = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ';
