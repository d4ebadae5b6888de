// The decorators need the polyfill before they are evaluated; authors get both from here, and one copy of tsyringe.
import 'reflect-metadata';

export { inject, injectable } from 'tsyringe';
