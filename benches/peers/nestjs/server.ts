// The peer: NestJS as its documentation shows it, `@Sse()` on the Express adapter, with an rxjs
// Subject per channel.
import "reflect-metadata";
import { Body, Controller, Module, Param, Post, Sse, type MessageEvent } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import type { NestExpressApplication } from "@nestjs/platform-express";
import { Subject, type Observable } from "rxjs";

@Controller()
class EventsController {
  private readonly channels = new Map<string, Subject<MessageEvent>>();
  private id = 0;

  private channel(name: string): Subject<MessageEvent> {
    let subject = this.channels.get(name);
    if (!subject) {
      subject = new Subject();
      this.channels.set(name, subject);
    }
    return subject;
  }

  @Sse("sse/:channel")
  subscribe(@Param("channel") name: string): Observable<MessageEvent> {
    return this.channel(name);
  }

  @Post("publish/:channel")
  publish(@Param("channel") name: string, @Body() data: string) {
    this.id += 1;
    this.channel(name).next({ id: String(this.id), data });
    return { id: String(this.id) };
  }
}

@Module({ controllers: [EventsController] })
class AppModule {}

const app = await NestFactory.create<NestExpressApplication>(AppModule, {
  bodyParser: false,
  logger: ["error", "warn"],
});
app.useBodyParser("text", { type: () => true, limit: "1mb" });
const server = app.getHttpServer();
server.keepAliveTimeout = 0;
server.requestTimeout = 0;
await app.init();
server.listen({ port: Number(process.argv[2]), host: "127.0.0.1", backlog: 65535 });
