// Its decorators need the polyfill before they are evaluated.
import 'reflect-metadata';

export { container, type DependencyContainer, inject, injectable } from 'tsyringe';
